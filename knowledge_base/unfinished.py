"""Vectors of a build that has not finished, kept on disk so that a killed build goes on where it was."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from knowledge_base.embedding import Embedder
from knowledge_base.segments import Pair

FILE = "unfinished.sqlite"


class Unfinished(Mapping[str, Pair]):
    """A SQLite file beside the index: vector key → vectors in half precision. Used by the one writer of the index."""

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        """Open the file in `folder`, or make it; what another embedder or a damaged disk left there is thrown away."""
        self._path = folder / FILE
        self._dimension = embedder.dimension
        try:
            self._open(embedder.weights_hash)
        except sqlite3.DatabaseError:
            self._database.close()
            self._path.unlink()
            self._open(embedder.weights_hash)

    def _open(self, weights_hash: str) -> None:
        self._database = sqlite3.connect(self._path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute("CREATE TABLE IF NOT EXISTS made_by (weights TEXT PRIMARY KEY)")
        self._database.execute("CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, windows BLOB, sentences BLOB)")
        if self._database.execute("SELECT weights FROM made_by").fetchall() != [(weights_hash,)]:
            self._database.execute("DELETE FROM vectors")
            self._database.execute("DELETE FROM made_by")
            self._database.execute("INSERT INTO made_by VALUES (?)", (weights_hash,))

    def keep(self, made: Mapping[str, Pair]) -> None:
        """Write vectors in one transaction: after a kill they are all there or none of them."""
        rows = [(key, *(part.astype(np.float16).tobytes() for part in pair)) for key, pair in made.items()]
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)
        self._database.execute("COMMIT")

    def __getitem__(self, key: str) -> Pair:
        """Return the vectors of a key; raises KeyError."""
        row = self._database.execute("SELECT windows, sentences FROM vectors WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        windows, sentences = (np.frombuffer(part, np.float16).reshape(-1, self._dimension).astype(np.float32) for part in row)
        return windows, sentences

    def __iter__(self) -> Iterator[str]:
        """Yield the keys."""
        yield from (key for (key,) in self._database.execute("SELECT key FROM vectors"))

    def __len__(self) -> int:
        """How many passages have their vectors."""
        return int(self._database.execute("SELECT count(*) FROM vectors").fetchone()[0])

    def close(self) -> None:
        """Close the file; it stays for the next build, unless there is nothing in it."""
        empty = len(self) == 0
        self._database.close()
        if empty:
            discard(self._path.parent)


def discard(folder: Path) -> None:
    """Delete what unfinished builds left: the index that they worked for is there."""
    for path in folder.glob(f"{FILE}*"):
        path.unlink()
