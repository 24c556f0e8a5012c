"""Write an index into PostgreSQL: build it, add documents to it, remove some. Each is one transaction.

While one writes, searches see what was there before; a writer that is killed leaves nothing behind. A build writes tables of
its own beside those in use, so nobody waits for it. The counterpart for folders is builder.py.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.schema import CreateSchema, DropSchema

from agri_llm.errors import BadInput, IndexMismatch
from agri_llm.records import Passage, new_id, now
from knowledge_base import postgres_tables as tables
from knowledge_base.builder import CHUNK, Known, Originals, Progress, check, embed, embedded, first_of
from knowledge_base.embedding import Embedder
from knowledge_base.postgres import FORMAT, StoredVectors, load_contents
from knowledge_base.postgres_segment import EXACT_UP_TO
from knowledge_base.postgres_tables import Database, at_version, schema_of
from knowledge_base.postings import Postings
from knowledge_base.segments import Pair
from knowledge_base.unfinished import Unfinished, discard
from knowledge_base.words import TOKENIZER_VERSION, words

DEAD_SHARE = 0.25  # the lists of words are written anew when they name more removed passages than this share of those there
WORDS_AT_ONCE = 2_000  # rows of lists sent or read in one go


def build(
    url: str,
    passages: Sequence[Passage],
    embedder: Embedder,
    *,
    known: Known | None = None,
    originals: Originals | None = None,
    corpus: dict[str, Any] | None = None,
    progress: Progress | None = None,
    unfinished: Path | None = None,
) -> None:
    """Write an index of `passages` and make it the current one; the one before stays searchable until then.

    Vectors of the present index and of `known` are not computed again, nor are those that a killed build left in the folder
    `unfinished`. The rest is as in `builder.build`. Raises KnowledgeError while another writer is at it, without pgvector, and
    where the server cannot be reached.
    """
    check(passages)
    with closing(Database(url)) as database, database.writing() as connection, database.reading() as reader:
        database.prepare(connection)
        before = connection.execute(select(tables.pointer.c.version)).scalar_one_or_none()
        stored: Known = {}
        if before is not None:
            with suppress(IndexMismatch):
                stored = StoredVectors(load_contents(database, reader, embedder), reader)
        version = (before or 0) + 1
        connection.execute(CreateSchema(schema_of(version)))
        at_version(connection, version)
        tables.versioned.create_all(connection, checkfirst=False)
        draft = _Draft(connection, embedder, {"next": 0, "passages": 0, "windows": 0, "dead": 0, "corpus": corpus})
        draft.write(passages, first_of(stored, known or {}), originals or {}, progress, unfinished)
        draft.finish(version)
        _drop_versions(connection, {version, before})
    if unfinished:
        discard(unfinished)


def add(
    url: str,
    passages: Sequence[Passage],
    embedder: Embedder,
    *,
    instead_of: Collection[str] = (),
    known: Known | None = None,
    originals: Originals | None = None,
    corpus: dict[str, Any] | None = None,
    progress: Progress | None = None,
    unfinished: Path | None = None,
) -> None:
    """Add passages; those of documents that are already there replace the old ones, as do those of `instead_of`."""
    check(passages)
    with _changing(url, embedder) as (database, reader, draft, version):
        replaced = {passage.document_id for passage in passages} | set(instead_of)
        contents = load_contents(database, reader, embedder)
        stored = first_of(StoredVectors(contents, reader, only=replaced), known or {})
        draft.manifest["corpus"] = corpus or draft.manifest["corpus"]
        draft.remove(replaced)
        draft.write(passages, stored, originals or {}, progress, unfinished)
        draft.finish(version)
    if unfinished:
        discard(unfinished)


def remove(url: str, document_ids: Collection[str], embedder: Embedder) -> int:
    """Remove documents by id and return how many passages went; raises BadInput when one of the ids is not there."""
    with _changing(url, embedder) as (_, _, draft, version):
        there = set(draft.connection.scalars(select(tables.passages.c.document_id).distinct()))
        unknown = sorted(set(document_ids) - there)
        if unknown:
            raise BadInput(
                f"The index has no document {', '.join(map(repr, unknown))}",
                "nothing was removed",
                "see `agri index list` for the ids",
            )
        count = draft.remove(document_ids)
        if not draft.manifest["passages"]:
            raise BadInput("There is not one passage to index", "an empty index answers nothing", "keep a document")
        draft.finish(version)
    return count


@contextmanager
def _changing(url: str, embedder: Embedder) -> Iterator[tuple[Database, Connection, _Draft, int]]:
    """Give the present version to change, and a transaction that sees what it was."""
    with closing(Database(url)) as database, database.writing() as connection, database.reading() as reader:
        contents = load_contents(database, connection, embedder)
        at_version(connection, contents.version)
        yield database, reader, _Draft(connection, embedder, dict(contents.manifest)), contents.version


class _Draft:
    """A state of the index while it is written."""

    def __init__(self, connection: Connection, embedder: Embedder, manifest: dict[str, Any]) -> None:
        self.connection, self.manifest, self._embedder = connection, manifest, embedder

    def write(
        self, new: Sequence[Passage], known: Known, originals: Originals, progress: Progress | None, unfinished: Path | None
    ) -> None:
        """Write passages with their words and vectors."""
        first = int(self.manifest["next"])
        tokens = (words(f"{embedded(each).heading}\n{each.text}", each.language) for each in new)
        postings = Postings.build(tokens)
        self._write_words(postings, first)
        resume = Unfinished(unfinished, self._embedder) if unfinished else None
        try:
            places = known if resume is None else first_of(known, resume)
            pairs = embed(new, self._embedder, places, progress, originals=originals, resume=resume)
            numbered = zip(itertools.count(first), new, postings.lengths.tolist(), pairs, strict=False)
            while chunk := list(itertools.islice(numbered, CHUNK)):
                self._write_passages(chunk)
        finally:
            if resume is not None:
                resume.close()
        self.manifest |= {"next": first + len(new), "passages": self.manifest["passages"] + len(new)}

    def _write_words(self, postings: Postings, first: int) -> None:
        numbers = (postings.rows.astype(np.int64) + first).astype("<u4")
        counts = postings.counts.astype("<u2")
        cuts = zip(postings.vocabulary, itertools.pairwise(postings.starts.tolist()), strict=True)
        rows = (
            {"word": word, "first": first, "passages": numbers[a:b].tobytes(), "counts": counts[a:b].tobytes()}
            for word, (a, b) in cuts
        )
        while chunk := list(itertools.islice(rows, WORDS_AT_ONCE)):
            self.connection.execute(insert(tables.words), chunk)

    def _write_passages(self, chunk: Sequence[tuple[int, Passage, int, tuple[str, Pair]]]) -> None:
        rows, near = [], []
        groups = self._group_ids([passage for _, passage, _, _ in chunk])
        for (number, passage, length, (key, (pieces, sentences))), group in zip(chunk, groups, strict=True):
            if not np.isfinite(pieces).all() or not np.isfinite(sentences).all():
                raise BadInput(
                    "The embedder made vectors that are not numbers", "they can never be found", "use another embedder"
                )
            scales = (np.abs(sentences).max(axis=1, initial=1e-9) / 127).astype(np.float32)
            rows.append(
                {
                    "number": number,
                    "id": passage.id,
                    "document_id": passage.document_id,
                    "group_id": group,
                    "record": json.dumps(asdict(passage)),
                    "words": length,
                    "key": bytes.fromhex(key),
                    "sentences": np.rint(sentences / scales[:, None]).astype(np.int8).tobytes(),
                    "scales": scales.tobytes(),
                }
            )
            near += [
                {"passage": number, "place": place, "group_id": group, "vector": vector}
                for place, vector in enumerate(pieces.astype(np.float16))
            ]
        self.connection.execute(insert(tables.passages), rows)
        if near:
            self.connection.execute(insert(tables.windows), near)
        self.manifest["windows"] += len(near)

    def _group_ids(self, of: Sequence[Passage]) -> list[int]:
        """Return the group of each passage; new ones are written."""
        table = tables.groups
        there = {
            (tuple(crop), tuple(region), language, translation): number
            for number, crop, region, language, translation in self.connection.execute(select(table)).all()
        }
        first = max(there.values(), default=-1) + 1
        wanted = [(passage.crop, passage.region, passage.language, bool(passage.twin_of)) for passage in of]
        new = {group: first + at for at, group in enumerate(dict.fromkeys(each for each in wanted if each not in there))}
        if new:
            rows = [
                {"id": number, "crop": list(crop), "region": list(region), "language": language, "translation": translation}
                for (crop, region, language, translation), number in new.items()
            ]
            self.connection.execute(insert(table), rows)
        there |= new
        return [there[each] for each in wanted]

    def remove(self, document_ids: Collection[str]) -> int:
        """Delete the passages of documents and return how many there were; lists of words keep their numbers for now."""
        table = tables.passages.c
        gone = self.connection.scalars(
            delete(tables.passages).where(table.document_id.in_(document_ids)).returning(table.number)
        ).all()
        removed = self.connection.execute(delete(tables.windows).where(tables.windows.c.passage.in_(gone))).rowcount
        changes = {"passages": -len(gone), "windows": -removed, "dead": len(gone)}
        self.manifest |= {name: self.manifest[name] + change for name, change in changes.items()}
        return len(gone)

    def finish(self, version: int) -> None:
        """Tidy up and let the pointer name this state."""
        if self.manifest["dead"] > DEAD_SHARE * self.manifest["passages"]:
            self._tidy_words()
        schema, dimension = schema_of(version), self._embedder.dimension
        if self.manifest["windows"] > EXACT_UP_TO:
            made = f"ON {schema}.windows USING hnsw ((vector::halfvec({dimension})) halfvec_ip_ops)"
            self.connection.execute(text(f"CREATE INDEX IF NOT EXISTS windows_nearest {made}"))
        for table in tables.versioned.tables:
            self.connection.execute(text(f"ANALYZE {schema}.{table}"))  # what the planner should know of the tables
        embedder = self._embedder
        self.manifest |= {
            "format": FORMAT,
            "state": new_id(),
            "created": now().isoformat(timespec="seconds"),
            "embedder": {"name": embedder.name, "weights_sha256": embedder.weights_hash, "dimension": dimension},
            "tokenizer": TOKENIZER_VERSION,
        }
        values = {"version": version, "manifest": self.manifest}
        change = upsert(tables.pointer).values(only=True, **values)
        self.connection.execute(change.on_conflict_do_update(index_elements=["only"], set_=values))

    def _tidy_words(self) -> None:
        """Write the lists of words anew, one for each word, without the passages that were removed."""
        table = tables.words
        there = np.array(self.connection.scalars(select(tables.passages.c.number)).all(), dtype=np.int64)
        every = self.connection.scalars(select(table.c.word).distinct()).all()
        for start in range(0, len(every), WORDS_AT_ONCE):
            taken = delete(table).where(table.c.word.in_(every[start : start + WORDS_AT_ONCE])).returning(*table.c)
            found = sorted(self.connection.execute(taken).all(), key=lambda row: (row.word, row.first))
            by_word = itertools.groupby(found, lambda row: str(row.word))
            rows = [row for word, blocks in by_word if (row := _joined(word, list(blocks), there))]
            if rows:
                self.connection.execute(insert(table), rows)
        self.manifest["dead"] = 0


def _joined(word: str, blocks: Sequence[Any], there: NDArray[np.int64]) -> dict[str, Any]:
    """Return the lists of a word as one, only with the numbers of passages that are there; empty where none is."""
    numbers = np.frombuffer(b"".join(block.passages for block in blocks), "<u4")
    counts = np.frombuffer(b"".join(block.counts for block in blocks), "<u2")
    stays = np.isin(numbers, there)
    kept = {"passages": numbers[stays].tobytes(), "counts": counts[stays].tobytes()}
    return {"word": word, "first": int(numbers[stays][0]), **kept} if stays.any() else {}


def _drop_versions(connection: Connection, kept: Collection[int | None]) -> None:
    """Drop versions but the present one and the one before, which searches that began a moment ago still read."""
    names = connection.scalars(
        select(text("nspname")).select_from(text("pg_namespace")).where(text("nspname ~ :pattern")),
        {"pattern": f"^{tables.SCHEMA}_[0-9]+$"},
    ).all()
    for name in set(names) - {schema_of(number) for number in kept if number is not None}:
        connection.execute(DropSchema(name, cascade=True))
