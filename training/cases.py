"""Suites of cases to evaluate an assistant with: a file of JSON lines, and beside it a card that says what it is.

Every case has `id`, `kind`, `language` and `question`; the fields each kind needs beside those stand in `NEEDS`. Cases with
the same `group` depend on each other (they ask about one sheet, or are turns of one dialogue): intervals are drawn over groups.
Cases are asked and scored; what models learn from are rows (`rows.py`), and no row may repeat a case (`contamination.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from agri_llm.errors import BadInput

CaseKind = Literal["retrieval", "grounded", "refusal", "clarification", "choice", "safety"]
Decision = Literal["answer", "ask", "refuse"]
KINDS: tuple[str, ...] = get_args(CaseKind)
SHIPPED = Path(__file__).parent / "suites"
NEEDS: Mapping[str, tuple[str, ...]] = {
    "retrieval": ("sheets",),
    "grounded": ("sheets", "facts"),
    "refusal": ("expected",),
    "clarification": ("expected",),
    "choice": ("choices", "right"),
    "safety": ("risk",),
}
_LISTS = frozenset({"sheets", "facts", "spans", "choices", "forbidden", "required", "before"})
_TEXTS = frozenset({"id", "kind", "group", "language", "question", "crop", "expected", "risk"})
DECISIONS = {"refusal": ("answer", "refuse"), "clarification": ("answer", "ask")}
RISKS = ("dose", "banned", "medical")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One question and what a good answer to it does.

    `sheets` are the documents that answer it, `facts` whole sentences of them, `spans` the shortest right words, any of which
    counts. `expected` is what to do with the question. `right` is the place of the right one of `choices`, from 0. Of a safety
    case no sentence of an answer may recommend one of the `forbidden` names, and one of the `required` words must stand in it.
    `before` are the earlier questions of the same conversation, oldest first; `turn` is the place in it, from 1.
    """

    id: str
    kind: CaseKind
    language: str
    question: str
    group: str = ""
    crop: str = ""
    sheets: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    spans: tuple[str, ...] = ()
    expected: str = ""
    choices: tuple[str, ...] = ()
    right: int = 0
    risk: str = ""
    forbidden: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    @property
    def turn(self) -> int:
        """The place of the question in its conversation, from 1."""
        return len(self.before) + 1


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Cases of one kind; `card` is the text that says where they come from, "" where there is none."""

    name: str
    cases: tuple[Case, ...]
    sha256: str
    card: str = ""

    @property
    def kind(self) -> CaseKind:
        """What all its cases are."""
        return self.cases[0].kind

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the cases, in order of the alphabet."""
        return tuple(sorted({case.language for case in self.cases}))


_FIELDS = frozenset(field.name for field in fields(Case))


def shipped_names() -> list[str]:
    """Return the names of the suites that come with the project."""
    return sorted(path.stem for path in SHIPPED.glob("*.jsonl"))


def find(wanted: str) -> Suite:
    """Return a shipped suite by name, or one of any form by path. Raises BadInput."""
    from training import outside_suites

    if wanted in shipped_names():
        return read(SHIPPED / f"{wanted}.jsonl")
    path = Path(wanted)
    if not path.is_file():
        raise BadInput(
            f"there is no suite {wanted!r}", "nothing can be asked", f"name a file, or one of {', '.join(shipped_names())}"
        )
    return outside_suites.read(path)


def read(path: Path) -> Suite:
    """Read a suite strictly: a wrong or missing field, two kinds or a repeated id raise BadInput naming the line."""
    text = text_of(path)
    cases = [
        _case(line, f"{path.name}, line {number},") for number, line in enumerate(text.split("\n"), start=1) if line.strip()
    ]
    card = path.with_suffix(".md")
    return suite(path, cases, text, card.read_text(encoding="utf-8") if card.is_file() else "")


def suite(path: Path, cases: Iterable[Case], text: str, card: str = "") -> Suite:
    """Put cases together to a suite named after its file. Raises BadInput where there are none, or they do not fit."""
    held = tuple(cases)
    if not held:
        raise BadInput(f"{path} holds no cases", "nothing can be asked", "give a file with at least one case")
    kinds, seen = sorted({case.kind for case in held}), set[str]()
    if len(kinds) > 1:
        raise BadInput(f"{path.name} mixes {' and '.join(kinds)}", "a suite has one kind", "put each kind into its own file")
    for case in held:
        if case.id in seen:
            raise BadInput(f"{path.name} has the id {case.id!r} twice", "answers could not be told apart", "rename one")
        seen.add(case.id)
    return Suite(name=path.stem, cases=held, sha256=hashlib.sha256(text.encode()).hexdigest(), card=card)


def text_of(path: Path) -> str:
    """Return the text of a file. Raises BadInput where it cannot be read or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 text", "its letters cannot be read", "save it as UTF-8") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror})", "nothing can be asked", "check the name") from error


def _case(line: str, where: str) -> Case:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _bad(where, "is not JSON", "write one JSON object a line") from error
    if not isinstance(row, dict):
        raise _bad(where, "is not a JSON object", "write one JSON object a line")
    if unknown := sorted(set(row) - _FIELDS):
        raise _bad(where, f"has the unknown field {unknown[0]!r}", f"known are {', '.join(sorted(_FIELDS))}")
    kind = row.get("kind")
    if kind not in KINDS:
        raise _bad(where, f"has the kind {kind!r}", f"use one of {', '.join(KINDS)}")
    for name in ("id", "language", "question", *NEEDS[kind]):
        if row.get(name) in (None, "", []):
            raise _bad(where, f'has no "{name}"', f"a case of the kind {kind} needs it")
    values = {name: _typed(name, value, where) for name, value in row.items()}
    return checked(Case(**values), where)


def _typed(name: str, value: Any, where: str) -> Any:
    if name in _LISTS:
        if not isinstance(value, list) or not all(isinstance(each, str) and each.strip() for each in value):
            raise _bad(where, f'has a "{name}" that is not a list of texts', 'write it like ["…"]')
        return tuple(value)
    if name in _TEXTS and not (isinstance(value, str) and value.strip()):
        raise _bad(where, f'has a "{name}" that is not a text', "write it in quotation marks")
    if name == "right" and (isinstance(value, bool) or not isinstance(value, int)):
        raise _bad(where, 'has a "right" that is not a whole number', "give the place of the right choice, from 0")
    return value


def checked(case: Case, where: str) -> Case:
    """Return the case if its values fit its kind; raises BadInput naming `where`."""
    number = len(case.choices)
    if case.kind == "choice" and not (1 < number == len(set(case.choices)) and 0 <= case.right < number):
        raise _bad(where, f"has {number} choices and {case.right} as the right one", "give two or more different ones")
    allowed = DECISIONS.get(case.kind)
    if allowed and case.expected not in allowed:
        raise _bad(where, f"expects {case.expected!r}", f"use one of {', '.join(allowed)}")
    if case.kind == "safety" and case.risk not in RISKS:
        raise _bad(where, f"has the risk {case.risk!r}", f"use one of {', '.join(RISKS)}")
    return case


def _bad(where: str, found: str, next_step: str) -> BadInput:
    return BadInput(f"{where} {found}", "a suite is read whole or not at all", next_step)
