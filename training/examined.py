"""Which sections of documents a model is examined on: what is asked of them stands on the test side, never in training.

Whole sheets would be too much: the shipped suites examine 107 of 237 sheets, but only few sections of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agri_llm.errors import BadInput
from agri_llm.records import Passage
from training import rows
from training.contamination import tokens
from training.question_forms import role_of

MARK = " (examined)"  # ends the group of rows on such sections; the other rows of the sheet keep its name alone
KINDS = ("grounded", "choice")  # cases whose right answer stands in a section of a sheet


def passages(files: Iterable[Path], documents: Iterable[Sequence[Passage]]) -> frozenset[str]:
    """Return the ids of all passages in the sections that cases are about, in every language.

    A section is examined where it holds a fact, or else a right answer, of a case word for word; where none does, the whole
    sheet is.
    Raises BadInput where an evaluation file cannot be read.
    """
    sheets: dict[str, list[Passage]] = {}
    for own in documents:
        sheets.setdefault(own[0].twin_of or own[0].document_id, []).extend(own)
    found: set[str] = set()
    for where, case in _cases(files):
        facts, right = _right(where, case)
        for sheet in case["sheets"]:
            own = sheets.get(sheet, [])
            sections = _holding(own, facts) or _holding(own, right)
            found |= {one.id for one in own if not sections or _section(one) in sections}
    return frozenset(found)


def _holding(own: Sequence[Passage], said: Sequence[str]) -> set[str]:
    """Return the sections that hold one of these texts."""
    wanted = [_words(text) for text in said]
    return {_section(one) for one in own if any(text in _words(one.text) for text in wanted)}


def _cases(files: Iterable[Path]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the cases whose answer stands in a sheet that they name; tables and files of other forms name none."""
    for file in files:
        for where, case in rows.objects(file) if file.suffix != ".csv" else ():
            if case.get("kind") in KINDS and isinstance(case.get("sheets"), list):
                yield where, case


def _right(where: str, case: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the facts of a case, and the shortest right answers or the right choice. Raises BadInput where they are none."""
    facts, right = case.get("facts", []), case.get("spans", [])
    if case["kind"] == "choice":
        choices, place = case.get("choices"), case.get("right")
        right = choices[place : place + 1] if isinstance(choices, list) and type(place) is int and place >= 0 else []
        right = right or None
    if not all(isinstance(said, list) and all(isinstance(text, str) for text in said) for said in (facts, right)):
        raise BadInput(
            f"{where} is no whole case of the kind {case['kind']}",
            "nobody could tell which section it asks about",
            "give facts as a list of texts, or choices and the place of the right one",
        )
    return facts, right


def _section(passage: Passage) -> str:
    """Return what says the same of a section in all languages of a sheet, else its heading."""
    return role_of(passage) or passage.heading


def _words(text: str) -> str:
    """Return the words of a text between single spaces, so that "5 °C" does not stand in "15 °C"."""
    return f" {' '.join(tokens(text))} "
