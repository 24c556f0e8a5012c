"""Builds a data set step by step (`build_steps.py`): `agri data build CONFIG`.

Nothing depends on the time, the machine or the order of a folder, so the same build gives the same bytes. A folder without
manifest.json is unfinished.
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

from agri_llm import personal
from agri_llm.errors import BadInput
from agri_llm.prompts import PROMPT_HASH
from agri_llm.records import Passage
from knowledge_base import shipped
from training import card, cleaning, contamination, instruction, mixing, rows, sources, unanswerable
from training.build_steps import Steps, Tell, Transform
from training.contamination import Contamination
from training.data_config import DataConfig, Source
from training.library import Library
from training.reply_contract import code_hash as reply_code_hash
from training.rows import MANIFEST, SPLITS, Row, file_hash, files_hash, write_whole
from training.written import Reply, Written, written

CARD, STEPS = "card.md", "steps"
# The modules of this package that decide what stands in a row; a change to any of them makes all rows anew.
MAKERS = (
    "build_steps", "card", "cleaning", "contamination", "data_config", "dataset", "document_questions", "examined",
    "instruction", "library", "mixing", "question_forms", "rows", "sources", "text_quality", "unanswerable",
    "written",
)  # fmt: skip
TAUGHT = 8  # every eighth passage of the sheets teaches the quality filter: some five hundred, in seconds
PART = 24  # documents whose rows are made in one step


@dataclass(kw_only=True)
class Build:
    """One build in one folder. `reply` asks a model on a server to write too, `approved` are corrections from the store."""

    config: DataConfig
    out: Path
    tell: Tell = lambda _: None
    reply: Reply | None = None
    approved: tuple[Mapping[str, Any], ...] = ()
    lost: dict[str, int] = field(default_factory=dict)  # how many documents of a source cannot be read

    def run(self) -> dict[str, Any]:
        """Build what is not there yet and return the manifest. Raises BadInput where a source or an overlap stops it."""
        self.steps.folder.mkdir(parents=True, exist_ok=True)
        (self.out / MANIFEST).unlink(missing_ok=True)  # until the end the folder is unfinished
        through = self.steps.through
        made = {path.stem: path for source in self.config.sources for path in self._collect(source)}
        found = through("2-clean", made, cleaning.cleaned(self.config, self._sort_of))
        judge = cleaning.judged_by(lambda: [passage.text for passage in self.sheets[::TAUGHT]], self.config.seed)
        found = through("3-sound", found, cleaning.sound(self.config, judge, self._sort_of))
        found = through("4-unrepeated", found, cleaning.unrepeated(self.config))
        found = through("5-untested", found, self._untested(), self.tests)
        found = through("6-split", found, mixing.with_splits(self.config))
        found = through("7-mixed", found, mixing.mixed(self.config))
        return self._finish(found["7-mixed"])

    @cached_property
    def steps(self) -> Steps:
        """What carries rows from file to file."""
        maker = rows.identity(self.config.hash(), code_hash(), "asked a model" if self.reply else "")
        return Steps(folder=self.out / STEPS, maker=maker, tell=self.tell)

    @cached_property
    def tests(self) -> dict[str, Path]:
        """The evaluation files by what notes call them; a number tells those of one name apart."""
        files = contamination.files_of(self.config.evaluation)
        names = [path.name for path in files]
        places = [f" ({at})" if name in names[:at] else "" for at, name in enumerate(names)]
        return {f"evaluation {name}{place}": file for name, place, file in zip(names, places, files, strict=True)}

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
        yield self.steps.do(
            f"1-{source.name}",
            inputs,
            lambda _: sources.read(source) if source.path else sources.corrections(self.approved, source),
        )

    def _collect_documents(self, source: Source) -> Iterator[Path]:
        """Make rows of some documents at a time, so that a build that is stopped has little to do again."""
        if source.sort == "sheets":
            inputs = {"shipped sheets": shipped.release()}
        else:
            inputs = {path.name: file_hash(path) for path in sources.files_of(source)}
        inputs |= {name: file_hash(path) for name, path in self.tests.items()}  # they decide which sections are examined
        name, library = f"1-{source.name}", _Late(lambda: self._library(source))
        known = self.steps.planned(name, inputs, lambda: list(library.made.documents))
        for number, start in enumerate(range(0, len(known), PART), start=1):
            part = known[start : start + PART]
            yield self.steps.do(f"{name}-{number:03}", inputs, partial(self._rows_of_part, source, library, part))
        yield self.steps.do(f"{name}-unclear", inputs, partial(self._rows_of_all, source, library))

    def _library(self, source: Source) -> Library:
        if source.sort == "sheets":
            passages = self.sheets
        else:
            passages, lost = sources.documents(source)
            self.lost[source.name] = len(lost)
            for why in lost:
                self.tell(f"left out: {why}")
        return Library.of(passages, self.config.languages, self.tests.values())

    def _rows_of_all(self, source: Source, late: _Late, counts: Counter[str]) -> Iterator[Row]:
        """Rows that no single document makes; the note of this step also says how many documents could not be read."""
        yield from unanswerable.off_topic(late.made, source.name)
        yield from unanswerable.clarifications(late.made, source.name)
        if lost := self.lost.get(source.name):
            counts["documents that cannot be read"] += lost

    def _rows_of_part(self, source: Source, late: _Late, part: list[str], counts: Counter[str]) -> Iterator[Row]:
        library = late.made
        yield from instruction.rows(library, source.name, part)
        yield from unanswerable.refusals(library, source.name, part)
        if source.pretraining:
            yield from instruction.texts(library, source.name, part)
        if source.written and self.reply is not None:
            kept = self.steps.folder / f"1-{source.name}.written"
            yield from written(library, source.name, Written(kept, self.reply), source.written, part, counts)

    def _untested(self) -> Transform:
        def step(found: Iterable[Row], counts: Counter[str]) -> Iterator[Row]:
            tests = Contamination(self.tests.values())
            for row in found:
                overlap = tests.overlap(row)
                if overlap is None:
                    yield row
                elif self.config.leave_out_overlaps:
                    counts["repeats an evaluation case"] += 1
                else:
                    raise contamination.stopped(overlap)

        return step

    def _finish(self, found: Path) -> dict[str, Any]:
        counts = {
            split: rows.write(self.out / f"{split}.jsonl", mixing.in_order(found, self.config.seed, split)) for split in SPLITS
        }
        write_whole(self.out / CARD, card.text(self.out, self.config, self.steps.notes))
        manifest = {
            "rows": counts,
            "files": {name: file_hash(self.out / name) for name in (*(f"{split}.jsonl" for split in SPLITS), CARD)},
            "prompt_hash": PROMPT_HASH,
            "evaluation": {name.removeprefix("evaluation "): file_hash(path) for name, path in self.tests.items()},
            "contamination_checked": bool(self.tests),
            "config": asdict(self.config),
            "steps": [asdict(note) for note in self.steps.notes],
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


def code_hash() -> str:
    """Name the code and forms that make rows (sha256): those of the steps, and the assistant that writes the answers."""
    here = Path(__file__).parent
    own = files_hash([*(here / f"{name}.py" for name in MAKERS), here / "question_templates.json", Path(personal.__file__)])
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
