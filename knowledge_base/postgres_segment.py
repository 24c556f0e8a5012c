"""The passages of an index in PostgreSQL, as one segment that is searched like those of a folder.

The database finds the nearest windows, the lists of the words asked for and the vectors of the candidates; scores are made by
the code that also searches folders (index.py, postings.py), so they are the same.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
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

from knowledge_base import postgres_tables as tables
from knowledge_base.postings import Mask, Postings, Rows
from knowledge_base.segments import DocumentEntry, Nearness, Segment, StoredPassages, Vectors

EXACT_UP_TO = 100_000  # windows; above, the search by meaning is approximate (HNSW); see docs/benchmarks.md
FEW = 20_000  # passages that a filter lets through; so many are compared one by one, however big the index is
LOOKED_AT = 400  # candidates of the approximate search (hnsw.ef_search); see docs/benchmarks.md
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


def any_of(values: Collection[Any], kind: type[TypeEngine[Any]]) -> ColumnElement[Any]:
    """Compare with one of many values as one parameter, so that the statement stays the same however many there are."""
    return any_(bindparam(None, list(values), type_=ARRAY(kind), unique=True))


def _approximately(k: int) -> dict[str, str]:
    """Say how far the approximate search looks: it goes on, in the order of nearness, until a filter let enough through."""
    looked_at = str(min(max(LOOKED_AT, k), 1000))  # what pgvector allows
    return {"hnsw.ef_search": looked_at, "hnsw.iterative_scan": "strict_order", "hnsw.max_scan_tuples": "1000000"}


class Source:
    """Where statements go: the transaction of a search, or one of its own for each."""

    def __init__(self, place: Connection | Engine, version: int) -> None:
        """Take an open transaction, or what makes them."""
        self._place, self._version = place, version

    def all(
        self, statement: Executable, parameters: dict[str, Any] | None = None, options: dict[str, str] | None = None
    ) -> Sequence[Any]:
        """Return all rows of a statement on the tables of the version; `options` of the server hold for its transaction."""
        if isinstance(self._place, Connection):
            return self._run(self._place, statement, parameters, options)
        with self._place.connect() as connection:
            return self._run(connection, statement, parameters, options)

    def _run(
        self, connection: Connection, statement: Executable, parameters: dict[str, Any] | None, options: dict[str, str] | None
    ) -> Sequence[Any]:
        tables.at_version(connection, self._version)
        if options:
            connection.execute(select(*(func.set_config(name, value, True) for name, value in options.items())))
        return connection.execute(statement, parameters or {}).all()


class StoredWords(Postings):
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
        asked = select(table.word, table.passages, table.counts).where(table.word == any_of(missing, Text))
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

    def read(self, row: int) -> dict[str, Any]:
        """Return the fields of a passage."""
        if row not in self.brought:
            number = int(self._contents.numbers[row])
            ((self.brought[row],),) = self._source.all(select(tables.passages.c.record).filter_by(number=number))
        fields: dict[str, Any] = json.loads(self.brought[row])
        return fields


class PostgresSegment(Segment):
    """All passages of the index as one segment, like those of a folder."""

    def __init__(self, contents: Contents, source: Source) -> None:
        """Take what the process keeps of the index, and where to ask for the rest."""
        self.name = tables.schema_of(contents.version)
        self.facts = {"passages": len(contents.numbers)}
        self.passages: _Passages = _Passages(contents, source)
        self.words: StoredWords = StoredWords(contents, source)
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
            nearest = nearest.where(table.group_id == any_of(ids, Integer))
        options = None if exact else _approximately(k)
        found = [self._source.all(nearest, {"query": vector}, options) for vector in queries]
        return [self._contents.rows(np.unique(np.array([number for (number,) in each], dtype=np.int64))) for each in found]

    def nearness(self, query: Vectors, rows: Rows) -> Nearness:
        """Compare a query with the nearest window and with the sentences of rows; brings the passages."""
        table, window = tables.passages.c, tables.windows.c
        asked = bindparam("query", type_=VECTOR(len(query)))
        near: Any = cast(window.vector, VECTOR)
        best = select(func.max(-near.max_inner_product(asked))).where(window.passage == table.number).scalar_subquery()
        chosen = select(table.number, table.record, table.sentences, table.scales, best)
        found = self._source.all(
            chosen.where(table.number == any_of(self._contents.numbers[rows].tolist(), BigInteger)).order_by(table.number),
            {"query": query},
        )
        self.passages.brought |= {int(row): each[1] for row, each in zip(rows, found, strict=True)}
        scales = [np.frombuffer(each[3], np.float32) for each in found]
        vectors = np.frombuffer(b"".join(each[2] for each in found), np.int8).reshape(-1, len(query))
        cosines = (vectors.astype(np.float32) @ query) * np.concatenate([*scales, np.zeros(0, np.float32)])
        windows = np.array([each[4] or 0 for each in found], dtype=np.float32)
        ends = np.cumsum([len(each) for each in scales], dtype=np.int64)
        return Nearness.of(windows, np.arange(1, len(found) + 1), cosines.astype(np.float32), ends)
