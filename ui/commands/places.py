"""Where an index is: a folder, or a database that several machines share; the same commands for both."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agri_llm.records import Passage
    from knowledge_base.builder import Known, Originals, Progress
    from knowledge_base.embedding import Embedder
    from knowledge_base.index import View


@dataclass(frozen=True, kw_only=True)
class FolderPlace:
    """An index in a folder."""

    folder: Path
    embedder: Embedder

    @property
    def name(self) -> str:
        """What people call it."""
        return str(self.folder)

    def known(self) -> Known:
        """The vectors that are there already."""
        from knowledge_base import builder

        return builder.known_vectors(self.folder, self.embedder)

    def build(
        self, passages: Sequence[Passage], known: Known, originals: Originals, corpus: dict[str, Any] | None, progress: Progress
    ) -> None:
        """Write it anew."""
        from knowledge_base import builder

        builder.build(self.folder, passages, self.embedder, known=known, originals=originals, corpus=corpus, progress=progress)

    def add(self, passages: Sequence[Passage], progress: Progress) -> None:
        """Add passages."""
        from knowledge_base import builder

        builder.add(self.folder, passages, self.embedder, progress=progress)

    def remove(self, document_ids: Collection[str]) -> int:
        """Remove documents and return how many passages went."""
        from knowledge_base import builder

        return builder.remove(self.folder, document_ids, self.embedder)

    def compact(self) -> str:
        """Drop what was removed, and say so."""
        from knowledge_base import builder

        builder.compact(self.folder, self.embedder)
        return f"Compacted {self.name}."

    def view(self) -> View:
        """What is in it."""
        from knowledge_base.index import load_view

        return load_view(self.folder, self.embedder)


@dataclass(frozen=True, kw_only=True)
class DatabasePlace:
    """An index in PostgreSQL; `home` keeps the vectors of a build that was killed."""

    url: str
    home: Path
    embedder: Embedder

    @property
    def name(self) -> str:
        """The address without its password."""
        from contextlib import closing

        from knowledge_base.postgres_tables import Database

        with closing(Database(self.url)) as database:
            return database.name

    def known(self) -> Known:
        """Nothing: a build takes the vectors of the present index by itself."""
        return {}

    def build(
        self, passages: Sequence[Passage], known: Known, originals: Originals, corpus: dict[str, Any] | None, progress: Progress
    ) -> None:
        """Write it anew."""
        from knowledge_base import postgres_builder

        self.home.mkdir(parents=True, exist_ok=True)
        postgres_builder.build(
            self.url,
            passages,
            self.embedder,
            known=known,
            originals=originals,
            corpus=corpus,
            progress=progress,
            unfinished=self.home,
        )

    def add(self, passages: Sequence[Passage], progress: Progress) -> None:
        """Add passages."""
        from knowledge_base import postgres_builder

        postgres_builder.add(self.url, passages, self.embedder, progress=progress)

    def remove(self, document_ids: Collection[str]) -> int:
        """Remove documents and return how many passages went."""
        from knowledge_base import postgres_builder

        return postgres_builder.remove(self.url, document_ids, self.embedder)

    def compact(self) -> str:
        """Say that there is nothing to do: what was removed is gone."""
        return f"{self.name} needs no compacting: the database drops what was removed by itself."

    def view(self) -> View:
        """What is in it."""
        from knowledge_base.postgres import PostgresKnowledgeBase

        return PostgresKnowledgeBase(self.url, self.embedder).view


Place = FolderPlace | DatabasePlace


def place() -> Place:
    """Return the index in use, by the settings."""
    from ui import wiring

    chosen = wiring.settings()
    if chosen.index_address:
        return DatabasePlace(url=chosen.index_address, home=chosen.home, embedder=wiring.embedder())
    return FolderPlace(folder=chosen.index_folder, embedder=wiring.embedder())
