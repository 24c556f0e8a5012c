"""Builds and changes index folders for the `agri index` command, showing how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agri_llm.errors import AgriError, BadInput

if TYPE_CHECKING:
    from agri_llm.records import Passage
    from knowledge_base.builder import Progress

Tell = Callable[[AgriError], object]


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


def build(folder: Path, paths: Sequence[Path], tell: Tell) -> Written:
    """Write a new index of files and folders, or of the shipped sheets where none are named; the old one stays until then.

    `tell` is called for each file that cannot be read. Vectors that the old index or the shipped sheets hold are not
    computed again. Raises BadInput where nothing is readable.
    """
    from knowledge_base import builder, shipped
    from ui import wiring

    embedder = wiring.embedder()
    with progress("Reading and indexing") as report:
        passages, unreadable = _read(paths, tell) if paths else (shipped.sheets(), 0)
        corpus = None if paths else shipped.stamp(passages)
        known = {**builder.known_vectors(folder, embedder), **shipped.shipped_vectors(embedder)}
        builder.build(folder, passages, embedder, known=known, corpus=corpus, progress=report)
    return Written(documents=len(_documents(passages)), passages=len(passages), unreadable=unreadable)


def add(folder: Path, paths: Sequence[Path], tell: Tell) -> Written:
    """Add files and folders to an index; a document that is there already is replaced.

    `tell` is called for each file that cannot be read. Raises BadInput where none is readable, IndexMissing.
    """
    from knowledge_base import builder
    from ui import wiring

    with progress("Reading and indexing") as report:
        passages, unreadable = _read(paths, tell)
        builder.add(folder, passages, wiring.embedder(), progress=report)
    return Written(documents=len(_documents(passages)), passages=len(passages), unreadable=unreadable)


def remove(folder: Path, document_ids: Sequence[str]) -> int:
    """Remove documents by id and return how many passages went; raises BadInput for an id that is not there."""
    from knowledge_base import builder
    from ui import wiring

    return builder.remove(folder, document_ids, wiring.embedder())


def listed(folder: Path) -> list[ListedDocument]:
    """Return the documents of an index, sorted by id."""
    from knowledge_base.index import load_view
    from ui import wiring

    grouped: dict[str, list[Passage]] = {}
    for passage in load_view(folder, wiring.embedder()).passages:
        grouped.setdefault(passage.document_id, []).append(passage)
    return [
        ListedDocument(id=key, title=found[0].title, crops=found[0].crop, language=found[0].language, passages=len(found))
        for key, found in sorted(grouped.items())
    ]


def _read(paths: Sequence[Path], tell: Tell) -> tuple[list[Passage], int]:
    from knowledge_base import shipped

    passages, unreadable = shipped.read_passages(paths)
    for error in unreadable:
        tell(error)
    if not passages:
        raise BadInput(
            f"Nothing in {', '.join(map(str, paths))} can be indexed", "the index stays as it was", "name files with text"
        )
    return passages, len(unreadable)


def _documents(passages: Sequence[Passage]) -> set[str]:
    return {passage.document_id for passage in passages}
