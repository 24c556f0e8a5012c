"""What is in a data set and what was left out, as a page for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training import examined, rows
from training.data_config import DataConfig
from training.rows import SPLITS

if TYPE_CHECKING:
    from training.build_steps import Note

MOST_CROPS = 60  # lines of the table of crops


def text(folder: Path, config: DataConfig, notes: Sequence[Note]) -> str:
    """Return the card of the data set in a folder."""
    counts: dict[str, Counter[tuple[str, str]]] = {
        name: Counter() for name in ("kind", "language", "crop", "source", "licence")
    }
    held = 0
    for split in SPLITS:
        for row in rows.read(folder / f"{split}.jsonl") if (folder / f"{split}.jsonl").stat().st_size else ():
            held += row.group.endswith(examined.MARK)
            for name, counter in counts.items():
                counter[(getattr(row, name) or "not stated", split)] += 1
    total = {split: sum(number for (_, side), number in counts["kind"].items() if side == split) for split in SPLITS}
    parts = [
        "# Data card",
        f"{sum(total.values())} rows: {', '.join(f'{number} {split}' for split, number in total.items())}. Split by the group"
        " of a row, which is the document that it is about; passages of any document may stand beside a question as"
        " distractors.",
        f"Sections of a document that evaluation asks about are a group of their own, which ends in{examined.MARK}: all {held}"
        " rows about them stand in test, and no row for training shows them.",
        "Rows of kind grounded and followup quote passages and cite them; refusal: the passages shown do not answer;"
        " clarification: the question leaves out what the advice depends on; open: no passages; pretraining: plain text.",
    ]
    for name, counter in counts.items():
        parts.append(f"## By {name}\n\n{_table(name, counter)}")
    parts.append(f"## Sources\n\n{_sources(config)}")
    parts.append(f"## Steps\n\n{_steps(notes)}")
    return "\n\n".join(parts) + "\n"


def _table(name: str, counter: Counter[tuple[str, str]]) -> str:
    sums: Counter[str] = Counter()
    for (value, _), number in counter.items():
        sums[value] += number
    listed = sorted(sums, key=lambda value: (-sums[value], value))
    lines = [[value, *(str(counter[(value, split)]) for split in SPLITS), str(sums[value])] for value in listed[:MOST_CROPS]]
    return _markdown([name, *SPLITS, "all"], lines)


def _sources(config: DataConfig) -> str:
    lines = [
        [source.name, source.sort, f"{source.weight:g}", source.licence or "as stated in each row"] for source in config.sources
    ]
    return _markdown(["source", "sort", "weight", "licence"], lines)


def _steps(notes: Sequence[Note]) -> str:
    lines = [
        [
            note.step,
            str(note.rows_in),
            str(note.rows_out),
            ", ".join(f"{name} {number}" for name, number in note.counts.items()),
        ]
        for note in notes
    ]
    return _markdown(["step", "rows in", "rows out", "what happened"], lines)


def _markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    made = ["| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines]
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *made])
