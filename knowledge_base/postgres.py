"""The knowledge base in PostgreSQL with pgvector, for many processes on several machines; it is searched like an index folder.

A search is one transaction: it sees the index of one moment, whatever is written meanwhile. The database finds the nearest
windows, the lists of the words asked for and the vectors of the candidates; scores are made by the code that also searches
folders (index.py, postings.py), so they are the same. What a process keeps is small: of each passage its length and group, and
the lists of words asked for before, both until the index changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector.sqlalchemy import HALFVEC, VECTOR
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Executable,
    Integer,
    Text,
    any_,
    bindparam,
    cast,
    func,
    select,
)
from sqlalchemy.types import TypeEngine

from agri_llm.errors import IndexMismatch, IndexMissing
from agri_llm.records import Hit
from knowledge_base import postgres_tables as tables
from knowledge_base.embedding import Embedder
from knowledge_base.index import MEANING_WEIGHT, KnowledgeBase, View
from knowledge_base.postgres_tables import Database
from knowledge_base.postings import Mask, Postings, Rows
from knowledge_base.segments import DocumentEntry, Pair, Segment, StoredPassages, Vectors
from knowledge_base.words import TOKENIZER_VERSION, words

FORMAT = 1
EXACT_UP_TO = 100_000  # windows; above, the search by meaning is approximate (HNSW); see docs/benchmarks.md
FEW = 20_000  # passages that a filter lets through; so many are compared one by one, however big the index is
LOOKED_AT = 200  # candidates of the approximate search (hnsw.ef_search); see docs/benchmarks.md
READ_AHEAD = 127  # passages whose vectors are read with those of one
MOST_REMEMBERED = 128 << 20  # bytes of lists of words that a process keeps

List = tuple[NDArray[np.uint32], NDArray[np.uint16]]  # rows that a word stands in, ascending, and how often


@dataclass(kw_only=True)
class Contents:
    """What a process keeps of one state of the index; rows number the passages that are there from 0."""

    version: int
    manifest: dict[str, Any]
    numbers: Rows  # (rows,) the number of each passage in the database, ascending
    lengths: NDArray[np.uint32]  # (rows,) words of each passage
    group: NDArray[np.int64]  # (rows,) place in `groups`
    groups: list[tuple[int, list[Any]]]  # id in the database; crop, region, language, whether it is a translation
    remembered: dict[str, List] = field(default_factory=dict)  # lists of words
    remembered_bytes: int = 0

    def rows(self, numbers: NDArray[Any]) -> Rows:
        """Return the row of each number, -1 where the passage was removed."""
        at = np.minimum(np.searchsorted(self.numbers, numbers), len(self.numbers) - 1)
        return np.where(self.numbers[at] == numbers, at, -1)

    def remember(self, word: str, found: List) -> None:
        """Keep the list of a word; all others are forgotten when they become too many."""
        if self.remembered_bytes > MOST_REMEMBERED:
            self.remembered, self.remembered_bytes = {}, 0  # a thread that still reads the old ones may
        self.remembered[word] = found
        self.remembered_bytes += sum(part.nbytes for part in found)


def _any_of(values: Collection[Any], kind: type[TypeEngine[Any]]) -> ColumnElement[Any]:
    """Compare with one of many values as one parameter, so that the statement stays the same however many there are."""
    return any_(bindparam(None, list(values), type_=ARRAY(kind), unique=True))


class Source:
    """Where statements go: the transaction of a search, or one of its own for each."""

    def __init__(self, place: Connection | Engine, version: int) -> None:
        """Take an open transaction, or what makes them."""
        self._place, self._version = place, version

    def all(self, statement: Executable, parameters: dict[str, Any] | None = None) -> Sequence[Any]:
        """Return all rows of a statement on the tables of the version."""
        if isinstance(self._place, Connection):
            return tables.at_version(self._place, self._version).execute(statement, parameters or {}).all()
        with self._place.connect() as connection:
            return tables.at_version(connection, self._version).execute(statement, parameters or {}).all()


class _Words(Postings):
    """The lists of words, asked for when they are needed."""

    def __init__(self, contents: Contents, source: Source) -> None:
        self._contents, self._source = contents, source
        self._found: dict[str, List] = {}
        self.lengths = contents.lengths

    def fetch(self, wanted: Iterable[str]) -> None:
        """Ask for the lists of several words at once."""
        kept = self._contents.remembered
        self._found |= {word: found for word in wanted if (found := kept.get(word)) is not None}
        missing = sorted({word for word in wanted if word not in self._found and "\0" not in word})
        if not missing:
            return
        table = tables.words.c
        asked = select(table.word, table.passages, table.counts).where(table.word == _any_of(missing, Text))
        parts: dict[str, list[tuple[bytes, bytes]]] = {word: [] for word in missing}
        for word, numbers, counts in self._source.all(asked.order_by(table.first)):
            parts[word].append((numbers, counts))
        for word, blocks in parts.items():
            rows = self._contents.rows(np.frombuffer(b"".join(block[0] for block in blocks), "<u4"))
            counts = np.frombuffer(b"".join(block[1] for block in blocks), "<u2")
            self._found[word] = (rows[rows >= 0].astype(np.uint32), counts[rows >= 0])
            self._contents.remember(word, self._found[word])

    def of(self, word: str) -> List:
        """Return the rows of a word, ascending, and how often it stands in each."""
        if word not in self._found:
            self.fetch([word])
        return self._found[word]

    def frequency(self, word: str) -> int:
        """In how many passages a word stands."""
        return len(self.of(word)[0])


class _Passages(StoredPassages):
    """The passages, read one by one where a search has not brought them already."""

    def __init__(self, contents: Contents, source: Source) -> None:
        self._contents, self._source = contents, source
        self.brought: dict[int, str] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._contents.numbers)

    def line(self, row: int) -> bytes:
        """Return a passage as JSON."""
        if row not in self.brought:
            number = int(self._contents.numbers[row])
            ((self.brought[row],),) = self._source.all(select(tables.passages.c.record).filter_by(number=number))
        return self.brought[row].encode()


class PostgresSegment(Segment):
    """All passages of the index as one segment, like those of a folder."""

    def __init__(self, contents: Contents, source: Source) -> None:
        """Take what the process keeps of the index, and where to ask for the rest."""
        self.name = tables.schema_of(contents.version)
        self.facts = {"passages": len(contents.numbers)}
        self.passages: _Passages = _Passages(contents, source)
        self.words: _Words = _Words(contents, source)
        self._contents, self._source = contents, source
        self._groups = [group for _, group in contents.groups]
        self._group = contents.group

    @cached_property
    def documents(self) -> list[DocumentEntry]:  # type: ignore[override] # asked for when it is needed
        """The documents, in the order in which they came."""
        table = tables.passages.c
        ends = select(func.min(table.number).label("first"), func.count().label("passages")).group_by(table.document_id)
        run = ends.subquery()
        joined = select(table.number, run.c.passages, table.record).join(run, run.c.first == table.number)
        found = []
        for number, count, line in self._source.all(joined.order_by(table.number)):
            start = int(self._contents.rows(np.array([number]))[0])
            self.passages.brought[start] = line
            passage = self.passages[start]
            found.append(
                DocumentEntry(
                    id=passage.document_id,
                    title=passage.title,
                    crop=passage.crop,
                    topic=passage.topic,
                    language=passage.language,
                    start=start,
                    end=start + count,
                )
            )
        return found

    def nearest_rows(self, queries: Vectors, k: int, allowed: Mask | None) -> list[Rows]:
        """Return for each query the rows of the passages nearest in meaning, ascending."""
        table, dimension = tables.windows.c, self._contents.manifest["embedder"]["dimension"]
        big = self._contents.manifest["windows"] > EXACT_UP_TO
        exact = not big or (allowed is not None and np.count_nonzero(allowed) <= FEW)
        # The index is one of the vector cast to its length; without the cast PostgreSQL compares with every window.
        compared: Any = table.vector if exact else cast(table.vector, HALFVEC(dimension))
        query = bindparam("query", type_=HALFVEC(dimension))
        nearest = select(table.passage).order_by(compared.max_inner_product(query)).limit(k)
        if allowed is not None:
            ids = [self._contents.groups[place][0] for place in np.unique(self._group[allowed])]
            nearest = nearest.where(table.group_id == _any_of(ids, Integer))
        if not exact:
            looked_at = str(min(max(LOOKED_AT, k), 1000))  # what pgvector allows
            # Goes on until the filter let enough through, in the order of nearness.
            options = {"hnsw.ef_search": looked_at, "hnsw.iterative_scan": "strict_order", "hnsw.max_scan_tuples": "1000000"}
            self._source.all(select(*(func.set_config(name, value, True) for name, value in options.items())))
        found = [self._source.all(nearest, {"query": vector}) for vector in queries]
        return [self._contents.rows(np.unique(np.array([number for (number,) in each], dtype=np.int64))) for each in found]

    def cosines(self, query: Vectors, rows: Rows) -> tuple[list[Vectors], list[Vectors]]:
        """Return the cosines of a query with the nearest window and with the sentences of each row; brings the passages."""
        table, window = tables.passages.c, tables.windows.c
        asked = bindparam("query", type_=VECTOR(len(query)))
        near: Any = cast(window.vector, VECTOR)
        best = select(func.max(-near.max_inner_product(asked))).where(window.passage == table.number).scalar_subquery()
        chosen = select(table.number, table.record, table.sentences, table.scales, best)
        found = self._source.all(
            chosen.where(table.number == _any_of(self._contents.numbers[rows].tolist(), BigInteger)).order_by(table.number),
            {"query": query},
        )
        self.passages.brought |= {int(row): each[1] for row, each in zip(rows, found, strict=True)}
        scales = [np.frombuffer(each[3], np.float32) for each in found]
        vectors = np.frombuffer(b"".join(each[2] for each in found), np.int8).reshape(-1, len(query))
        cosines = (vectors.astype(np.float32) @ query) * np.concatenate([*scales, np.zeros(0, np.float32)])
        ends = np.cumsum([len(each) for each in scales])[:-1]
        nearest = [np.array([] if each[4] is None else [each[4]], dtype=np.float32) for each in found]
        return nearest, np.split(cosines.astype(np.float32), ends) if found else []


class StoredVectors(Mapping[str, Pair]):
    """The vectors of an index by what was embedded (`builder.vector_key`), read some passages at a time."""

    def __init__(self, contents: Contents, place: Connection, only: Collection[str] | None = None) -> None:
        """Look at all passages, or at those of the documents named in `only`."""
        self._source, self._dimension = Source(place, contents.version), contents.manifest["embedder"]["dimension"]
        table = tables.passages.c
        keys = select(table.key, table.number)
        if only is not None:
            keys = keys.where(table.document_id == _any_of(only, Text))
        self._numbers = {key.hex(): int(number) for key, number in self._source.all(keys)}
        self._read: dict[int, Pair] = {}

    def __getitem__(self, key: str) -> Pair:
        """Return the vectors of a key; raises KeyError."""
        number = self._numbers[key]
        if number not in self._read:
            self._read = self._some(number)
        return self._read[number]

    def _some(self, first: int) -> dict[int, Pair]:
        """Read the vectors of a passage and of those written after it, which are probably asked for next."""
        table, window = tables.passages.c, tables.windows.c
        last, dimension = first + READ_AHEAD, self._dimension
        sentences = {}
        chosen = select(table.number, table.sentences, table.scales).where(table.number.between(first, last))
        for number, vectors, scales in self._source.all(chosen):
            whole = np.frombuffer(vectors, np.int8).reshape(-1, dimension).astype(np.float32)
            sentences[number] = whole * np.frombuffer(scales, np.float32)[:, None]
        near: dict[int, list[list[float]]] = {number: [] for number in sentences}
        asked = select(window.passage, window.vector).where(window.passage.between(first, last))
        for number, vector in self._source.all(asked.order_by(window.passage, window.place)):
            near[number].append(vector)
        return {
            number: (np.array(near[number], dtype=np.float32).reshape(-1, dimension), sentences[number]) for number in sentences
        }

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
                assert isinstance(segment.words, _Words)
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
