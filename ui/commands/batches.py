"""Questions from a file of JSON lines, or from standard input, one at a time; a bad line is an error, not the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from agri_llm.errors import BadInput
from agri_llm.records import Question

DETAILS = ("crop", "place", "stage", "language")


@dataclass(frozen=True, kw_only=True)
class Details:
    """What is known of the field beside the question."""

    crop: str | None = None
    place: str | None = None
    stage: str | None = None
    language: str | None = None

    def question(self, text: str) -> Question:
        """Return a question with these details."""
        crop, place, stage = (value and whole(value) for value in (self.crop, self.place, self.stage))
        return Question(text=whole(text), crop=crop, place=place, stage=stage, language=self.language)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One question of a batch; `id` is what the file gave, text or number."""

    id: str | int
    question: str
    details: Details

    def as_question(self, otherwise: Details) -> Question:
        """Return the question; `otherwise` holds details for lines that do not say them."""
        said = {key: value for key, value in asdict(self.details).items() if value is not None}
        return replace(replace(otherwise, **said).question(self.question), id=str(self.id))


def whole(text: str) -> str:
    """Return the text with "?" for half characters (lone surrogates, from broken bytes or escapes): no model can read those."""
    return text.encode("utf-8", "replace").decode("utf-8")


def read(source: str) -> Iterator[Line | BadInput]:
    """Yield the lines of the file `source`, or of standard input for "-"; empty lines are skipped."""
    if source == "-":
        yield from _lines(sys.stdin.buffer, "standard input")
        return
    try:
        with Path(source).open("rb") as file:
            yield from _lines(file, source)
    except OSError as error:
        raise BadInput(
            f"{source} cannot be read", (error.strerror or "unknown reason").lower(), "name a file of JSON lines"
        ) from error


def _lines(stream: BinaryIO, name: str) -> Iterator[Line | BadInput]:
    for number, raw in enumerate(stream, start=1):
        if raw.strip():
            yield _line(raw, f"{name}, line {number},")


def _line(raw: bytes, where: str) -> Line | BadInput:
    try:
        row: Any = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return _bad(where, "is not JSON", 'write {"id": "1", "question": "…"} on one line')
    if not isinstance(row, dict):
        return _bad(where, "is not a JSON object", 'write {"id": "1", "question": "…"} on one line')
    known = row.get("id")
    if isinstance(known, bool) or not isinstance(known, str | int) or known == "":
        return _bad(where, 'has no "id"', "give every line a text or a number as id")
    if not isinstance(row.get("question"), str):
        return _bad(where, 'has no "question"', "give every line a text as question")
    details = {key: row[key] for key in DETAILS if row.get(key) not in (None, "")}
    wrong = [key for key, value in details.items() if not isinstance(value, str)]
    if wrong:
        return _bad(where, f'has a "{wrong[0]}" that is not a text', "write it in quotation marks")
    return Line(id=known, question=row["question"], details=Details(**details))


def _bad(where: str, found: str, next_step: str) -> BadInput:
    return BadInput(f"{where} {found}", "it is left out", next_step)
