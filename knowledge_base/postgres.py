"""The knowledge base in PostgreSQL with pgvector, for many processes on several machines; it is searched like an index folder.

A search is one transaction: it sees the index of one moment, whatever is written meanwhile. What a process keeps is small: of
each passage its length and group, and the lists of words asked for before, both until the index changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, Text, func, select

from agri_llm.errors import IndexMismatch, IndexMissing
from agri_llm.records import Hit
from knowledge_base import postgres_tables as tables
from knowledge_base.embedding import Embedder
from knowledge_base.index import MEANING_WEIGHT, KnowledgeBase, View
from knowledge_base.postgres_segment import Contents, PostgresSegment, Source, StoredWords, any_of
from knowledge_base.postgres_tables import Database
from knowledge_base.postings import Rows
from knowledge_base.segments import Pair, Vectors
from knowledge_base.words import TOKENIZER_VERSION, words

FORMAT = 1
READ_TOGETHER = 128  # passages whose vectors are read at once


class StoredVectors(Mapping[str, Pair]):
    """The vectors of an index by what was embedded (`builder.vector_key`), read some passages at a time."""

    def __init__(self, contents: Contents, place: Connection, only: Collection[str] | None = None) -> None:
        """Look at all passages, or at those of the documents named in `only`."""
        self._source, self._dimension = Source(place, contents.version), contents.manifest["embedder"]["dimension"]
        table = tables.passages.c
        keys = select(table.key, table.number)
        if only is not None:
            keys = keys.where(table.document_id == any_of(only, Text))
        found = self._source.all(keys.order_by(table.number.desc()))  # the first of those with the same vectors counts
        self._numbers = {key.hex(): int(number) for key, number in found}
        self._block = lru_cache(maxsize=16)(self._some)

    def __getitem__(self, key: str) -> Pair:
        """Return the vectors of a key; raises KeyError."""
        number = self._numbers[key]
        return self._block(number // READ_TOGETHER)[number]

    def _some(self, block: int) -> dict[int, Pair]:
        """Read the vectors of passages that were written together and are probably asked for together."""
        table, window = tables.passages.c, tables.windows.c
        first, last = block * READ_TOGETHER, (block + 1) * READ_TOGETHER - 1
        near: dict[int, list[Vectors]] = {}
        asked = select(window.passage, func.halfvec_send(window.vector)).where(window.passage.between(first, last))
        for number, sent in self._source.all(asked.order_by(window.passage, window.place)):
            vector = np.frombuffer(sent, ">f2", offset=4).astype(np.float32)  # after its length, in network order
            near.setdefault(number, []).append(vector)
        found = {}
        chosen = select(table.number, table.sentences, table.scales).where(table.number.between(first, last))
        for number, vectors, scales in self._source.all(chosen):
            sentences = np.frombuffer(vectors, np.int8).reshape(-1, self._dimension).astype(np.float32)
            windows = np.array(near.get(number, []), dtype=np.float32).reshape(-1, self._dimension)
            found[number] = (windows, sentences * np.frombuffer(scales, np.float32)[:, None])
        return found

    def __contains__(self, key: object) -> bool:
        """Whether there are vectors of a key."""
        return key in self._numbers

    def __iter__(self) -> Iterator[str]:
        """Yield the keys."""
        return iter(self._numbers)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._numbers)


class _Moment(KnowledgeBase):
    """The index as one transaction sees it."""

    def __init__(self, view: View, embedder: Embedder, meaning_weight: float) -> None:
        self.embedder, self.meaning_weight, self._view = embedder, meaning_weight, view

    @property
    def view(self) -> View:
        """What the transaction sees."""
        return self._view


class PostgresKnowledgeBase(KnowledgeBase):
    """Passages in PostgreSQL that can be searched; every search sees what was last written."""

    def __init__(self, url: str, embedder: Embedder, *, meaning_weight: float | None = None) -> None:
        """Open the index at a SQLAlchemy address.

        Raises SettingsInvalid, IndexMissing, IndexMismatch when another embedder built it, KnowledgeError when the server
        cannot be reached.
        """
        self.database = Database(url)
        self.embedder = embedder
        self.meaning_weight = MEANING_WEIGHT if meaning_weight is None else meaning_weight
        self._contents: Contents | None = None
        _ = self.view

    @property
    def view(self) -> View:
        """The index as it is now. Raises as opening does."""
        with self.database.reading() as connection:
            self._contents = load_contents(self.database, connection, self.embedder, self._contents)
        return view_of(self._contents, self.database.engine)

    def search_all(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        crop: str | Collection[str] | None = None,
        region: str | None = None,
        language: str | None = None,
        english: Sequence[str] | None = None,
    ) -> list[list[Hit]]:
        """Search many queries at once, in one transaction, as `KnowledgeBase.search_all` does."""
        filters: dict[str, Any] = {"crop": crop, "region": region, "language": language, "english": english}
        with suppress(IndexMissing):  # two builds may end between two statements: then the version is gone, and we look again
            return self._search(queries, k, filters)
        return self._search(queries, k, filters)

    def _search(self, queries: Sequence[str], k: int, filters: dict[str, Any]) -> list[list[Hit]]:
        with self.database.reading() as connection:
            contents = load_contents(self.database, connection, self.embedder, self._contents)
            self._contents = contents
            view = view_of(contents, connection)
            language = filters["language"]
            asked = [*queries, *(() if language else filters["english"] or ())]
            words_of_all = {word for query in asked for word in (words(query, language) if language else words(query))}
            for segment in view.segments:
                assert isinstance(segment.words, StoredWords)
                segment.words.fetch(words_of_all)
            return _Moment(view, self.embedder, self.meaning_weight).search_all(queries, k, **filters)


def view_of(contents: Contents, place: Connection | Engine) -> View:
    """Return the index as a view, which asks for what is not kept at `place`."""
    segment = PostgresSegment(contents, Source(place, contents.version))
    nothing: Rows = np.zeros(0, dtype=np.int64)
    return View(version=Path(segment.name), manifest=contents.manifest, segments=(segment,), deleted=(nothing,))


def load_contents(database: Database, connection: Connection, embedder: Embedder, before: Contents | None = None) -> Contents:
    """Return what a process keeps of the index, `before` where nothing changed. Raises IndexMissing or IndexMismatch."""
    row = connection.execute(select(tables.pointer.c.version, tables.pointer.c.manifest)).one_or_none()
    if row is None:
        raise database.missing()
    version, manifest = row
    if before is not None and before.manifest["state"] == manifest["state"]:
        return before
    _check(database, manifest, embedder)
    source, table = Source(connection, version), tables.passages.c
    groups = [
        (number, [crop, region, language, translation])
        for number, crop, region, language, translation in source.all(select(tables.groups).order_by(tables.groups.c.id))
    ]
    found = source.all(select(table.number, table.words, table.group_id).order_by(table.number))
    columns = np.array([tuple(each) for each in found], dtype=np.int64).reshape(-1, 3)
    if len(columns) != manifest["passages"]:
        raise IndexMismatch(
            f"The index in {database.name} cannot be trusted ({len(columns)} of {manifest['passages']} passages are there)",
            "a damaged index could cite the wrong text",
            "build it again with `agri index build`",
        )
    used, group = np.unique(columns[:, 2], return_inverse=True)
    return Contents(
        version=version,
        manifest=manifest,
        numbers=columns[:, 0].copy(),
        lengths=columns[:, 1].astype(np.uint32),
        group=group,
        groups=[each for each in groups if each[0] in set(used.tolist())],
    )


def _check(database: Database, manifest: dict[str, Any], embedder: Embedder) -> None:
    """Refuse an index of another format, embedder or way of taking words."""
    if manifest.get("format") != FORMAT:
        raise IndexMismatch(
            f"The index in {database.name} has format {manifest.get('format')}, this program reads {FORMAT}",
            "it could be read wrongly",
            "build it again with `agri index build`",
        )
    built_by = manifest["embedder"]
    if built_by["weights_sha256"] != embedder.weights_hash or manifest["tokenizer"] != TOKENIZER_VERSION:
        raise IndexMismatch(
            f"The index in {database.name} was built with {built_by['name']} and {manifest['tokenizer']}, not with"
            f" {embedder.name} and {TOKENIZER_VERSION}",
            "their vectors and words cannot be compared",
            "set AGRI_EMBEDDER to the first, or build the index again with `agri index build`",
        )
