"""Looks at a finished data set again, row by row: `agri data check FOLDER`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import regex

from agri_llm.errors import BadInput
from agri_llm.prompts import PROMPT_HASH, REFUSAL_MARK
from training import examined, rows
from training.dataset import manifest_of
from training.rows import SPLITS, Row, file_hash

_MARK = regex.compile(r"\[(\d{1,3})\]")
_SHOWN = regex.compile(r"^\[(\d{1,3})\] ", regex.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a check found: how many rows stand on each side, and what a person should know."""

    rows: dict[str, int]
    notes: tuple[str, ...]


def check(folder: Path) -> Checked:
    """Check every file and row. Raises BadInput at the first one that is not as the manifest and the rules say."""
    manifest = manifest_of(folder)
    for name, expected in manifest["files"].items():
        if not (folder / name).is_file() or file_hash(folder / name) != expected:
            raise BadInput(f"{folder / name} is not what the build wrote", "its rows cannot be trusted", "build it again")
    sides: dict[str, str] = {}
    ids: set[str] = set()
    counts: dict[str, int] = dict.fromkeys(SPLITS, 0)
    for split in SPLITS:
        for row in rows.read(folder / f"{split}.jsonl"):
            _check_row(row, split, sides, ids)
            counts[split] += 1
    if counts != manifest["rows"]:
        raise BadInput(f"{folder} has {counts} rows", f"its manifest counts {manifest['rows']}", "build it again")
    notes = [] if manifest["evaluation"] else ["No evaluation file was there, so nothing was compared with the rows."]
    if manifest["prompt_hash"] != PROMPT_HASH:
        notes.append("The requests were made by another version of agri_llm/prompts.py than serving uses now: build it again.")
    return Checked(rows=counts, notes=tuple(notes))


def _check_row(row: Row, split: str, sides: dict[str, str], ids: set[str]) -> None:
    wrong = ""
    if row.split != split or sides.setdefault(row.group, split) != split:
        wrong = f"its group {row.group} stands on two sides"
    elif row.group.endswith(examined.MARK) and split != "test":
        wrong = "a model is examined on the section that it is about"
    elif row.id in ids:
        wrong = "its id stands there twice"
    elif row.kind in ("grounded", "followup"):
        wrong = uncited(row)
    elif row.kind == "refusal" and row.messages[-1]["content"] != REFUSAL_MARK:
        wrong = "its refusal is not in the words that the request asks for"
    ids.add(row.id)
    if wrong:
        raise BadInput(f"the row {row.id} in {split}.jsonl cannot be learned from", wrong, "build the data set again")


def uncited(row: Row) -> str:
    """Return what is wrong with the citations of an answer from passages, or "": each line ends with one that is shown."""
    asked, answer = row.messages[-2]["content"], row.messages[-1]["content"]
    shown = {int(number) for number in _SHOWN.findall(asked)}
    marks = {int(number) for number in _MARK.findall(answer)}
    if not marks <= shown:
        return f"it cites [{min(marks - shown)}], which is not among its passages"
    lines = [line for line in answer.splitlines() if line.strip()]
    return "" if all(_MARK.search(line[-8:]) for line in lines) else "a line of its answer has no citation"
