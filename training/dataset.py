"""Builds a data set step by step: `agri data build CONFIG`. Each step writes a file and then a note of what it read and wrote.

A build that was stopped goes on at the step it was in: a step counts as done when its note names the very settings, code,
inputs and output that are there. Nothing depends on the time, the machine or the order of a folder, so the same build gives
the same bytes. A folder without manifest.json is unfinished.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from agri_llm.errors import BadInput
from agri_llm.prompts import PROMPT_HASH
from agri_llm.records import Passage
from knowledge_base import shipped
from training import card, cleaning, contamination, instruction, mixing, rows, sources, unanswerable
from training.contamination import Contamination
from training.data_config import DataConfig, Source
from training.library import Library
from training.reply_contract import code_hash as reply_code_hash
from training.rows import MANIFEST, SPLITS, Row, file_hash, files_hash, write_whole
from training.written import Reply, Written, written

CARD, STEPS = "card.md", "steps"
# The modules of this package that decide what stands in a row; a change to any of them makes all rows anew.
MAKERS = (
    "card", "cleaning", "contamination", "data_config", "dataset", "instruction", "library", "mixing", "personal",
    "question_forms", "rows", "sources", "text_quality", "unanswerable", "written",
)  # fmt: skip
TAUGHT = 8  # every eighth passage of the sheets teaches the quality filter: some five hundred, in seconds
PART = 24  # documents whose rows are made in one step
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
class Build:
    """One build in one folder. `reply` asks a model on a server to write too, `approved` are corrections from the store."""

    config: DataConfig
    out: Path
    tell: Tell = lambda _: None
    reply: Reply | None = None
    approved: tuple[Mapping[str, Any], ...] = ()
    notes: list[Note] = field(default_factory=list)

    def run(self) -> dict[str, Any]:
        """Build what is not there yet and return the manifest. Raises BadInput where a source or an overlap stops it."""
        (self.out / STEPS).mkdir(parents=True, exist_ok=True)
        (self.out / MANIFEST).unlink(missing_ok=True)  # until the end the folder is unfinished
        made = {path.stem: path for source in self.config.sources for path in self._collect(source)}
        found = self._step("2-clean", made, cleaning.cleaned(self.config, self._sort_of))
        judge = cleaning.judged_by(lambda: [passage.text for passage in self.sheets[::TAUGHT]], self.config.seed)
        found = self._step("3-sound", found, cleaning.sound(self.config, judge, self._sort_of))
        found = self._step("4-unrepeated", found, cleaning.unrepeated(self.config))
        files = contamination.files_of(self.config.evaluation)
        tests = {f"evaluation {path.name}": path for path in files}
        found = self._step("5-untested", found, self._untested(files), tests)
        found = self._step("6-split", found, mixing.with_splits(self.config))
        found = self._step("7-mixed", found, mixing.mixed(self.config))
        return self._finish(found["7-mixed"], files)

    @cached_property
    def sheets(self) -> list[Passage]:
        """The passages of the shipped sheets."""
        return shipped.sheets()

    def _sort_of(self, name: str) -> str:
        return next(source.sort for source in self.config.sources if source.name == name)

    def _collect(self, source: Source) -> Iterator[Path]:
        """Write the rows of one source, those of documents in parts, and yield the files."""
        if source.sort in ("sheets", "documents"):
            yield from self._collect_documents(source)
            return
        if source.path:
            inputs = {path.name: file_hash(path) for path in sources.files_of(source)}
        else:
            said = json.dumps(self.approved, sort_keys=True, ensure_ascii=False)
            inputs = {"corrections": hashlib.sha256(said.encode()).hexdigest()}
        yield self._do(
            self.out / STEPS / f"1-{source.name}.jsonl",
            inputs,
            lambda _: sources.read(source) if source.path else sources.corrections(self.approved, source),
        )

    def _collect_documents(self, source: Source) -> Iterator[Path]:
        """Make rows of some documents at a time, so that a build that is stopped has little to do again."""
        if source.sort == "sheets":
            inputs = {"shipped sheets": shipped.release()}
        else:
            inputs = {path.name: file_hash(path) for path in sources.files_of(source)}
        name = self.out / STEPS / f"1-{source.name}"
        plan, library = name.with_suffix(".plan"), _Late(lambda: self._library(source))
        known = self._planned(plan, inputs)
        if known is None:
            known = list(library.made.documents)
            write_whole(plan, json.dumps({"made_by": self._maker(), "inputs": inputs, "documents": known}) + "\n")
        for number, start in enumerate(range(0, len(known), PART), start=1):
            part = known[start : start + PART]
            yield self._do(
                name.with_name(f"{name.name}-{number:03}.jsonl"), inputs, partial(self._rows_of_part, source, library, part)
            )
        yield self._do(name.with_name(f"{name.name}-unclear.jsonl"), inputs, lambda _: _of_all(library.made, source.name))

    def _planned(self, plan: Path, inputs: Mapping[str, str]) -> list[str] | None:
        """Return the ids of a source's documents as an earlier start found them, or None."""
        try:
            found = json.loads(plan.read_text(encoding="utf-8"))
            return list(found["documents"]) if (found["made_by"], found["inputs"]) == (self._maker(), inputs) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _library(self, source: Source) -> Library:
        passages = self.sheets if source.sort == "sheets" else sources.documents(source)
        return Library.of(passages, self.config.languages)

    def _rows_of_part(self, source: Source, late: _Late, part: list[str], counts: Counter[str]) -> Iterator[Row]:
        library = late.made
        yield from instruction.rows(library, source.name, part)
        yield from unanswerable.refusals(library, source.name, part)
        if source.pretraining:
            yield from instruction.texts(library, source.name, part)
        if source.written and self.reply is not None:
            kept = self.out / STEPS / f"1-{source.name}.written"
            yield from written(library, source.name, Written(kept, self.reply), source.written, part, counts)

    def _untested(self, files: list[Path]) -> Transform:
        def step(found: Iterable[Row], counts: Counter[str]) -> Iterator[Row]:
            tests = Contamination(files)
            for row in found:
                overlap = tests.overlap(row)
                if overlap is None:
                    yield row
                elif self.config.leave_out_overlaps:
                    counts["repeats an evaluation case"] += 1
                else:
                    raise contamination.stopped(overlap)

        return step

    def _step(
        self, name: str, before: Mapping[str, Path], change: Transform, more: Mapping[str, Path] | None = None
    ) -> dict[str, Path]:
        """Carry rows through one step; returns the file that it wrote under the name of the step."""
        output = self.out / STEPS / f"{name}.jsonl"
        inputs = {key: file_hash(path) for key, path in {**before, **(more or {})}.items()}

        def found(counts: Counter[str]) -> Iterator[Row]:
            for path in before.values():
                with path.open("rb") as file:
                    for number, line in enumerate(file, start=1):
                        counts["in"] += 1
                        yield rows.row_of(json.loads(line), f"{path}, line {number},")

        return {name: self._do(output, inputs, lambda counts: change(found(counts), counts))}

    def _do(self, output: Path, inputs: Mapping[str, str], made: Callable[[Counter[str]], Iterable[Row]]) -> Path:
        """Make a step's file unless its note says that it is there; `made` yields its rows and counts what it leaves out."""
        note = self._noted(output, inputs)
        if note is None:
            self.tell(f"{output.stem}: working")
            counts: Counter[str] = Counter()
            kept = rows.write(output, made(counts))
            rows_in = counts.pop("in", kept)
            note = Note(
                step=output.stem,
                made_by=self._maker(),
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
            if note.made_by == self._maker() and note.inputs == inputs and note.output == file_hash(output):
                return note
        except (OSError, ValueError, TypeError):
            pass  # no note, or one that was cut off: the step is done again
        return None

    def _maker(self) -> str:
        """Name everything but the inputs that decides what a step writes."""
        return rows.identity(self.config.hash(), code_hash(), "asked a model" if self.reply else "")

    def _finish(self, found: Path, tests: list[Path]) -> dict[str, Any]:
        counts = {
            split: rows.write(self.out / f"{split}.jsonl", mixing.in_order(found, self.config.seed, split)) for split in SPLITS
        }
        write_whole(self.out / CARD, card.text(self.out, self.config, self.notes))
        manifest = {
            "rows": counts,
            "files": {name: file_hash(self.out / name) for name in (*(f"{split}.jsonl" for split in SPLITS), CARD)},
            "prompt_hash": PROMPT_HASH,
            "evaluation": {path.name: file_hash(path) for path in tests},
            "contamination_checked": bool(tests),
            "config": asdict(self.config),
            "steps": [asdict(note) for note in self.notes],
        }
        write_whole(self.out / MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=1) + "\n")
        self.tell(f"{sum(counts.values())} rows: {', '.join(f'{number} {split}' for split, number in counts.items())}")
        return manifest


class _Late:
    """A library that is put together when it is first needed: a build that goes on may not need it at all."""

    def __init__(self, make: Callable[[], Library]) -> None:
        """Take what puts it together."""
        self._make = make

    @cached_property
    def made(self) -> Library:
        """The library."""
        return self._make()


def _of_all(library: Library, source: str) -> Iterator[Row]:
    """Rows that no single document makes."""
    yield from unanswerable.off_topic(library, source)
    yield from unanswerable.clarifications(library, source)


def code_hash() -> str:
    """Name the code and forms that make rows (sha256): those of the steps, and the assistant that writes the answers."""
    here = Path(__file__).parent
    own = files_hash([*(here / f"{name}.py" for name in MAKERS), here / "question_templates.json"])
    return rows.identity(own, reply_code_hash())


def manifest_of(folder: Path) -> dict[str, Any]:
    """Return the manifest of a finished data set. Raises BadInput where there is none."""
    try:
        found: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(
            f"{folder} holds no {MANIFEST}", "its data set is not finished", "run `agri data build` with --out on it again"
        ) from error
    except ValueError as error:
        raise BadInput(f"the {MANIFEST} of {folder} is damaged", "nothing in it can be trusted", "build it again") from error
    return found
