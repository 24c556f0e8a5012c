"""Suites that other people wrote: multiple choice as CSV, dialogues whose last turn decides to ask or to answer."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agri_llm.errors import BadInput
from agri_llm.questions import language_of
from training import cases
from training.cases import Case, Suite

LETTERS = "ABCD"
COLUMNS = ("question", *LETTERS, "answer")
_TURN = re.compile(r"(?:^|\n)\s*(User|Expert):", re.IGNORECASE)
_DECISIONS = {"<Clarify>": "ask", "<Respond>": "answer"}


def read(path: Path) -> Suite:
    """Read a suite of any known form, told by its name and its first line. Raises BadInput."""
    text = cases.text_of(path)
    if path.suffix.lower() == ".csv":
        return cases.suite(path, _choices(text, path.name), text)
    first = next((line for line in text.split("\n") if line.strip()), "")
    if '"conversations"' in first:
        return cases.suite(path, _dialogues(text, path.name), text)
    return cases.read(path)


def _choices(text: str, name: str) -> Iterator[Case]:
    """Yield multiple-choice cases of a table with the columns question, A, B, C, D, answer."""
    table = csv.DictReader(io.StringIO(text))
    missing = [column for column in COLUMNS if column not in (table.fieldnames or ())]
    if missing:
        raise BadInput(
            f"{name} has no column {missing[0]!r}", "a question needs its choices and its answer", f"use {','.join(COLUMNS)}"
        )
    for number, row in enumerate(table, start=2):
        values = {column: (row[column] or "").strip() for column in COLUMNS}
        empty = [column for column, value in values.items() if not value]
        letter = values["answer"].upper()
        if empty or letter not in LETTERS:
            found = f"has no {empty[0]}" if empty else f"has {letter!r} as its answer"
            raise BadInput(f"{name}, row {number}, {found}", "it cannot be scored", "fill every column; answer is A, B, C or D")
        case = Case(
            id=f"row-{number}",
            kind="choice",
            language=language_of(values["question"], None),
            question=values["question"],
            choices=tuple(values[each] for each in LETTERS),
            right=LETTERS.index(letter),
        )
        yield cases.checked(case, f"{name}, row {number},")


def _dialogues(text: str, name: str) -> Iterator[Case]:
    """Yield clarification cases of dialogues: the last question, those before it, and what the expert did then."""
    times: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
            turns = [turn["value"] for turn in row["conversations"] if turn["from"] == "human"]
            expected = _DECISIONS[json.loads(row["conversations"][-1]["value"])["decision"]]
            said = _asked("\n".join(turns))
            group = str(row["id"])
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise BadInput(
                f"{name}, line {number}, is no dialogue that ends in a decision",
                "we cannot tell whether to ask or to answer",
                "its last turn holds a JSON object with decision <Clarify> or <Respond>",
            ) from error
        times[group] = times.get(group, 0) + 1  # some dialogues occur once for each of their turns
        yield Case(
            id=f"{group}-{times[group]}",
            kind="clarification",
            language=language_of(said[-1], None),
            question=said[-1],
            before=tuple(said[:-1]),
            group=group,
            expected=expected,
        )


def _asked(text: str) -> list[str]:
    """Return what the user said in each turn of a transcript; raises IndexError where there is nothing."""
    parts = _TURN.split(text)
    said = [part.strip() for speaker, part in zip(parts[1::2], parts[2::2], strict=True) if speaker.lower() == "user"]
    said = [each for each in said if each] or [each for each in [text.strip()] if each]
    said[0]
    return said
