"""Builds and changes index folders for the `agri index` command, showing how far it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agri_llm.errors import AgriError, BadInput, DocumentUnreadable

if TYPE_CHECKING:
    from agri_llm.records import Passage
    from knowledge_base.builder import Progress
    from ui.commands.places import Place

By = Literal["crop", "topic", "language"]
Tell = Callable[[AgriError], object]
_FAULTS_TOLD = 20


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a command put into an index, and how many files it could not read."""

    documents: int
    passages: int
    unreadable: int


@dataclass(frozen=True, kw_only=True)
class ListedDocument:
    """One line of `agri index list`; `passages` is how many of them the index holds."""

    id: str
    title: str
    crops: tuple[str, ...]
    topics: tuple[str, ...]
    language: str
    passages: int


@contextmanager
def progress(task: str) -> Iterator[Progress]:
    """Show a bar with rate and time left on standard error while the work goes on; nothing where nobody looks at it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        shown = bar.add_task(task, total=None, rate="")

        def report(done: int, total: int) -> None:
            bar.update(shown, completed=done, total=total)
            speed = next(item.speed for item in bar.tasks if item.id == shown)
            bar.update(shown, rate=f"{speed:,.0f}/s" if speed else "")

        yield report


def prepare() -> bool:
    """Make sure that the default index holds the present sheets; True if it was written."""
    from ui import wiring

    with progress("Preparing the shipped sheets") as report:
        return wiring.prepare_index(report)


def build(place: Place, paths: Sequence[Path], tell: Tell) -> Written:
    """Write a new index of files and folders, or of the shipped sheets where none are named; the old one stays until then.

    `tell` is called at the end for what could not be read, the first faults one by one. Vectors that the old index or the
    shipped sheets hold are not computed again. Raises BadInput where nothing is readable.
    """
    from knowledge_base import builder, shipped

    with _faults(tell) as faults, progress("Reading and indexing") as report:
        passages = _read(paths, faults) if paths else shipped.sheets()
        corpus = None if paths else shipped.stamp(passages)
        known = builder.first_of(place.known(), shipped.shipped_vectors(place.embedder))
        place.build(passages, known, {} if paths else shipped.originals(passages), corpus, report)
    return Written(documents=len(_documents(passages)), passages=len(passages), unreadable=len(faults))


def add(place: Place, paths: Sequence[Path], tell: Tell) -> Written:
    """Add files and folders to an index; a document that is there already is replaced.

    `tell` is called at the end for what could not be read. Raises BadInput where none is readable, IndexMissing.
    """
    with _faults(tell) as faults, progress("Reading and indexing") as report:
        passages = _read(paths, faults)
        place.add(passages, report)
    return Written(documents=len(_documents(passages)), passages=len(passages), unreadable=len(faults))


def listed(
    place: Place, crop: str | None = None, topic: str | None = None, language: str | None = None
) -> list[ListedDocument]:
    """Return the documents of an index, sorted by id: all, or those about a crop (by any name), on a topic, in a language."""
    from knowledge_base.terms import Glossary

    crops = set(Glossary.load().crops(crop) or [crop.lower()]) if crop else set()
    found: dict[str, ListedDocument] = {}
    for _, entry, count in place.view().documents():
        if (
            (crops and not crops & set(entry.crop))
            or (topic and topic not in entry.topic)
            or language not in (None, entry.language)
        ):
            continue
        before = found[entry.id].passages if entry.id in found else 0
        found[entry.id] = ListedDocument(
            id=entry.id,
            title=entry.title,
            crops=entry.crop,
            topics=entry.topic,
            language=entry.language,
            passages=before + count,
        )
    return sorted(found.values(), key=lambda document: document.id)


def counted_by(documents: Sequence[ListedDocument], by: By) -> list[tuple[str, int]]:
    """Return how many documents there are of each crop, topic or language, most first; one counts for each of its crops."""
    names = [name for each in documents for name in ({"crop": each.crops, "topic": each.topics}.get(by) or (each.language,))]
    return sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))


@contextmanager
def _faults(tell: Tell) -> Iterator[list[DocumentUnreadable]]:
    """Collect what cannot be read and tell it at the end, also where the work fails: the first ones, and how many more."""
    faults: list[DocumentUnreadable] = []
    try:
        yield faults
    finally:
        for fault in faults[:_FAULTS_TOLD]:
            tell(fault)
        if len(faults) > _FAULTS_TOLD:
            tell(
                DocumentUnreadable(
                    f"{len(faults) - _FAULTS_TOLD:,} more files or rows cannot be read",
                    "they are missing in the index",
                    "correct those named above, then try again",
                )
            )


def _read(paths: Sequence[Path], faults: list[DocumentUnreadable]) -> list[Passage]:
    """Return the passages of files in a process of their own, and put what cannot be read into `faults`."""
    from knowledge_base.reading import read_passages

    passages, unreadable = read_passages(paths)
    faults += unreadable
    if not passages:
        raise BadInput(
            f"Nothing in {', '.join(map(str, paths))} can be indexed", "the index stays as it was", "name files with text"
        )
    return passages


def _documents(passages: Sequence[Passage]) -> set[str]:
    return {passage.document_id for passage in passages}
