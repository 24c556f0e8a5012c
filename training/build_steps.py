"""The steps of a build: each writes a file of rows, and then a note of what it read and wrote.

A build that was stopped goes on at the step it was in: a step counts as done when its note names the very settings, code,
inputs and output that are there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from training import rows
from training.rows import Row, file_hash, write_whole

Tell = Callable[[str], object]
Transform = Callable[[Iterable[Row], Counter[str]], Iterator[Row]]


@dataclass(frozen=True, kw_only=True)
class Note:
    """What a step did: names and sha256 of what it read and wrote, how many rows came in and went out, what it counted."""

    step: str
    made_by: str
    inputs: Mapping[str, str]
    output: str
    rows_in: int
    rows_out: int
    counts: Mapping[str, int]


@dataclass(kw_only=True)
class Steps:
    """The steps of one build in a folder; `maker` names everything but the inputs that decides what a step writes."""

    folder: Path
    maker: str
    tell: Tell
    notes: list[Note] = field(default_factory=list)

    def planned(self, name: str, inputs: Mapping[str, str], find: Callable[[], list[str]]) -> list[str]:
        """Return the ids of a source's documents as an earlier start found them, else as they are found now."""
        plan = self.folder / f"{name}.plan"
        try:
            said = json.loads(plan.read_text(encoding="utf-8"))
            if (said["made_by"], said["inputs"]) == (self.maker, inputs):
                return list(said["documents"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # no plan, or one that was cut off
        found = find()
        write_whole(plan, json.dumps({"made_by": self.maker, "inputs": inputs, "documents": found}) + "\n")
        return found

    def through(
        self, name: str, before: Mapping[str, Path], change: Transform, more: Mapping[str, Path] | None = None
    ) -> dict[str, Path]:
        """Carry rows through one step; returns the file that it wrote under the name of the step."""
        inputs = {key: file_hash(path) for key, path in {**before, **(more or {})}.items()}

        def found(counts: Counter[str]) -> Iterator[Row]:
            for path in before.values():
                with path.open("rb") as file:
                    for number, line in enumerate(file, start=1):
                        counts["in"] += 1
                        yield rows.row_of(json.loads(line), f"{path}, line {number},")

        return {name: self.do(name, inputs, lambda counts: change(found(counts), counts))}

    def do(self, name: str, inputs: Mapping[str, str], made: Callable[[Counter[str]], Iterable[Row]]) -> Path:
        """Make a step's file unless its note says that it is there; `made` yields its rows and counts what it leaves out."""
        output = self.folder / f"{name}.jsonl"
        note = self._noted(output, inputs)
        if note is None:
            self.tell(f"{output.stem}: working")
            counts: Counter[str] = Counter()
            kept = rows.write(output, made(counts))
            rows_in = counts.pop("in", kept)
            note = Note(
                step=output.stem,
                made_by=self.maker,
                inputs=dict(inputs),
                output=file_hash(output),
                rows_in=rows_in,
                rows_out=kept,
                counts={name: counts[name] for name in sorted(counts) if counts[name]},
            )
            write_whole(output.with_suffix(".json"), json.dumps(asdict(note), ensure_ascii=False, indent=1) + "\n")
        self.notes.append(note)
        said = "".join(f", {name} {number}" for name, number in note.counts.items())
        self.tell(f"{note.step}: {note.rows_in} rows in, {note.rows_out} out{said}")
        return output

    def _noted(self, output: Path, inputs: Mapping[str, str]) -> Note | None:
        """Return the note of a step that need not be done again."""
        try:
            note = Note(**json.loads(output.with_suffix(".json").read_text(encoding="utf-8")))
            if note.made_by == self.maker and note.inputs == inputs and note.output == file_hash(output):
                return note
        except (OSError, ValueError, TypeError):
            pass  # no note, or one that was cut off: the step is done again
        return None
