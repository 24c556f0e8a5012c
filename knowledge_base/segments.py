"""A segment: passages that were indexed together, with their vectors and words; written once, never changed, mapped from disk.

passages.jsonl  offsets.npy        one passage a line, and where each line begins
documents.json  groups.json  group.npy   runs of passages of one document; what a filter looks at
keys.npy                           (passages, 16) bytes that name what was embedded
windows.npy  window_starts.npy     (windows, dimensions) half precision, unit length
windows.faiss                      only where a segment is big (vectors.py)
sentences.npy  sentence_scales.npy  sentence_starts.npy   one signed byte a dimension, times the scale
words/                             postings.py
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agri_llm.records import Passage
from knowledge_base.postings import Mask, Postings, Rows, mapped
from knowledge_base.vectors import Nearest, Plan, StoredArray, build, positions

Vectors = NDArray[np.float32]
Pair = tuple[Vectors, Vectors]  # vectors of the windows and of the sentences of a passage
KEY_BYTES = 16
TRIALS = 256  # sentences that the recall of a big segment is measured with: questions are more like them than like windows


@dataclass(frozen=True, kw_only=True)
class DocumentEntry:
    """A run of passages of one document: rows `start` to `end`."""

    id: str
    title: str
    crop: tuple[str, ...]
    topic: tuple[str, ...]
    language: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Nearness:
    """How near passages are to a query: the cosine of the best window and of the best sentence of each, at least 0, (rows,)."""

    window: Vectors
    sentence: Vectors
    every_sentence: Vectors  # (sentences,) of all rows, one after another
    ends: Rows  # (rows,) where the sentences of each row end

    @classmethod
    def of(cls, windows: Vectors, window_ends: Rows, sentences: Vectors, ends: Rows) -> Nearness:
        """Take the cosines of the windows and of the sentences of all rows, and where those of each row end."""
        return cls(window=_best(windows, window_ends), sentence=_best(sentences, ends), every_sentence=sentences, ends=ends)

    def sentences(self, at: int) -> tuple[float, ...]:
        """Return the cosine of each sentence of the row at a place."""
        start = int(self.ends[at - 1]) if at else 0
        return tuple(self.every_sentence[start : self.ends[at]].tolist())


def _best(cosines: Vectors, ends: Rows) -> Vectors:
    """Return the highest cosine of each row, 0 where it has none above."""
    best = np.zeros(len(ends), dtype=np.float32)
    starts = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1]])
    filled = starts < ends
    if filled.any():
        best[filled] = np.maximum.reduceat(cosines, starts[filled])
    return np.maximum(best, 0)


class _Lines:
    """JSON lines on disk, read one by one; the file stays open, so that it can be deleted meanwhile."""

    def __init__(self, lines: Path, offsets: Path) -> None:
        self._offsets = np.load(offsets, allow_pickle=False)
        self._file = lines.open("rb", buffering=0)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def read(self, row: int) -> Any:
        if not 0 <= row < len(self):
            raise IndexError(row)
        start, end = int(self._offsets[row]), int(self._offsets[row + 1])
        return json.loads(os.pread(self._file.fileno(), end - start, start))


class StoredPassages(Sequence[Passage]):
    """The passages of a segment, read from disk one by one."""

    def __init__(self, folder: Path) -> None:
        """Map the files that `write` left in `folder`."""
        self._lines = _Lines(folder / "passages.jsonl", folder / "offsets.npy")

    def __len__(self) -> int:
        """How many there are."""
        return len(self._lines)

    def __getitem__(self, row: Any) -> Any:
        """Return the passage of a row; raises IndexError beyond the last."""
        if not 0 <= row < len(self):
            raise IndexError(row)
        return _passage(self.read(row))

    def read(self, row: int) -> dict[str, Any]:
        """Return the fields of a passage."""
        fields: dict[str, Any] = self._lines.read(row)
        return fields


class StoredDocuments(Sequence[DocumentEntry]):
    """The documents of a segment, read from disk one by one, and found by id without reading the others."""

    def __init__(self, folder: Path) -> None:
        """Map the files that `write` left in `folder`."""
        self._lines = _Lines(folder / "documents.jsonl", folder / "document_offsets.npy")
        self._keys = np.load(folder / "document_keys.npy", allow_pickle=False)

    def __len__(self) -> int:
        """How many runs of passages there are."""
        return len(self._lines)

    def __getitem__(self, at: Any) -> Any:
        """Return one run; raises IndexError beyond the last."""
        key, title, crop, topic, language, start, end = self._lines.read(at)
        return DocumentEntry(id=key, title=title, crop=tuple(crop), topic=tuple(topic), language=language, start=start, end=end)

    def named(self, ids: Collection[str]) -> list[DocumentEntry]:
        """Return the runs of some documents."""
        wanted = np.array([document_key(each) for each in ids], dtype=np.uint64)
        return [entry for at in np.flatnonzero(np.isin(self._keys, wanted)) if (entry := self[int(at)]).id in ids]


def document_key(document_id: str) -> int:
    """Return 8 bytes that name the id of a document, as a number."""
    return int.from_bytes(hashlib.sha256(document_id.encode()).digest()[:8], "little")


def _passage(row: dict[str, Any]) -> Passage:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    return Passage(**fields)


class Segment:
    """An open segment. Rows number its passages from 0."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        """Map a segment; `facts` are what the manifest keeps of it."""
        self.name = folder.name
        self.facts = facts
        self.passages = StoredPassages(folder)
        self.documents = StoredDocuments(folder)
        self._groups = json.loads((folder / "groups.json").read_text(encoding="utf-8"))
        self._group = np.load(folder / "group.npy", allow_pickle=False)
        self.keys = mapped(folder / "keys.npy")
        self._windows = StoredArray(folder / "windows.npy")
        self.window_starts = np.load(folder / "window_starts.npy", allow_pickle=False)
        self._sentences = StoredArray(folder / "sentences.npy")
        self._scales = mapped(folder / "sentence_scales.npy")
        self.sentence_starts = np.load(folder / "sentence_starts.npy", allow_pickle=False)
        self.words = Postings.open(folder / "words")
        self.nearest = Nearest(self._windows, Plan(**facts["plan"]), folder / "windows.faiss")

    @property
    def windows(self) -> NDArray[np.float16]:
        """The vectors of all windows, (windows, dimensions), mapped."""
        whole: NDArray[np.float16] = self._windows.mapped
        return whole

    def __len__(self) -> int:
        """How many passages it holds, deleted ones too."""
        return len(self.passages)

    def fits(self) -> bool:
        """Whether its files belong together."""
        rows = {len(self.passages), self.words.passages, len(self.keys), len(self._group), self.facts["passages"]}
        rows |= {len(self.window_starts) - 1, len(self.sentence_starts) - 1}
        whole = self.window_starts[-1] == len(self.windows) == self.nearest.windows
        return len(rows) == 1 and whole and self.sentence_starts[-1] == len(self._sentences) == len(self._scales)

    def allowed(self, crops: set[str], region: str | None, language: str | None) -> Mask | None:
        """Which passages a filter lets through, (passages,); None when all pass.

        Without a language, documents that say in another language what an original says are left out.
        """
        passes = [
            (not crops or not crop or "any" in crop or not crops.isdisjoint(crop))
            and (not region or not regions or region in regions or "world" in regions)
            and (spoken == language if language else not twin)
            for crop, regions, spoken, twin in self._groups
        ]
        if all(passes):
            return None
        mask: Mask = np.array(passes, dtype=bool)[self._group]
        return mask

    @cached_property
    def languages(self) -> frozenset[str]:
        """The languages of its passages."""
        return frozenset(group[2] for group in self._groups)

    def row_of(self, windows: Rows) -> Rows:
        """Return the rows that windows belong to."""
        return np.searchsorted(self.window_starts, windows, side="right") - 1

    def nearest_rows(self, queries: Vectors, k: int, allowed: Mask | None) -> list[Rows]:
        """Return for each query the rows of the passages nearest in meaning, ascending."""
        mask = None if allowed is None else np.repeat(allowed, np.diff(self.window_starts))
        found = self.nearest.search(queries, min(k, len(self.windows)), mask)
        return [np.unique(self.row_of(windows[windows >= 0])) for windows in found]

    def nearness(self, query: Vectors, rows: Rows) -> Nearness:
        """Compare a query with the windows and the sentences of rows."""
        starts, ends = self.window_starts[rows], self.window_starts[rows + 1]
        windows = self._windows.parts(starts, ends).astype(np.float32) @ query
        first, last = self.sentence_starts[rows], self.sentence_starts[rows + 1]
        sentences = (self._sentences.parts(first, last).astype(np.float32) @ query) * self._scales[positions(first, last)]
        return Nearness.of(windows, np.cumsum(ends - starts), sentences.astype(np.float32), np.cumsum(last - first))

    def vectors(self, row: int) -> Pair:
        """Return the vectors of the windows and of the sentences of a row."""
        start, end = self.sentence_starts[row], self.sentence_starts[row + 1]
        sentences = self._sentences.mapped[start:end].astype(np.float32) * self._scales[start:end, None].astype(np.float32)
        return self.windows[self.window_starts[row] : self.window_starts[row + 1]].astype(np.float32), sentences


def write(
    folder: Path, passages: Iterable[tuple[Passage, bytes, Pair]], words: Iterable[Sequence[str]] | Postings, dimension: int
) -> dict[str, Any]:
    """Write passages with their keys and vectors, one after another, and return the facts that the manifest keeps.

    Half precision moves a cosine by less than 0.001, a signed byte by less than 0.003. Raises ValueError for vectors that
    are no numbers.
    """
    folder.mkdir()
    runs: list[tuple[list[Any], int]] = []  # what is said of a document, and the first row of a run of it
    groups: dict[str, int] = {}
    group: list[int] = []
    with _Arrays(folder, dimension) as arrays, (folder / "passages.jsonl").open("wb") as lines:
        for row, (passage, key, (windows, sentences)) in enumerate(passages):
            arrays.add(key, windows, sentences)
            arrays.ends(lines.write(json.dumps(asdict(passage), ensure_ascii=False).encode() + b"\n"))
            if not runs or runs[-1][0][0] != passage.document_id:
                about = [passage.document_id, passage.title, passage.crop, passage.topic, passage.language]
                runs.append((about, row))
            group.append(
                groups.setdefault(
                    json.dumps([passage.crop, passage.region, passage.language, bool(passage.twin_of)]), len(groups)
                )
            )
        arrays.save()
    _write_documents(folder, runs, len(group))
    (folder / "groups.json").write_text(json.dumps([json.loads(each) for each in groups]), encoding="utf-8")
    np.save(folder / "group.npy", np.array(group, dtype=np.uint32), allow_pickle=False)
    (folder / "words").mkdir()
    (words if isinstance(words, Postings) else Postings.build(words)).save(folder / "words")
    plan = build(StoredArray(folder / "windows.npy"), folder / "windows.faiss", _trials(folder))
    return {"passages": len(group), "windows": arrays.windows, "sentences": arrays.sentences, "plan": asdict(plan)}


def _trials(folder: Path) -> Vectors:
    """Return unit vectors of some sentences."""
    sentences, scales = mapped(folder / "sentences.npy"), mapped(folder / "sentence_scales.npy")
    chosen = np.random.default_rng(0).choice(len(sentences), min(TRIALS, len(sentences)), replace=False)
    vectors: Vectors = sentences[chosen].astype(np.float32) * scales[chosen, None]
    unit: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return unit


def _write_documents(folder: Path, runs: Sequence[tuple[list[Any], int]], passages: int) -> None:
    ends = [*(start for _, start in runs[1:]), passages]
    lines = [
        json.dumps([*about, start, end], ensure_ascii=False).encode() + b"\n"
        for (about, start), end in zip(runs, ends, strict=True)
    ]
    (folder / "documents.jsonl").write_bytes(b"".join(lines))
    offsets = np.cumsum([0, *map(len, lines)], dtype=np.int64)
    np.save(folder / "document_offsets.npy", offsets, allow_pickle=False)
    keys = np.array([document_key(about[0]) for about, _ in runs], dtype=np.uint64)
    np.save(folder / "document_keys.npy", keys, allow_pickle=False)


class _Arrays:
    """The arrays of a segment while they grow on disk, so that a million passages need no memory for them."""

    def __init__(self, folder: Path, dimension: int) -> None:
        self._folder, self._dimension = folder, dimension
        self._raw = {name: (folder / f"{name}.raw").open("wb+") for name in ("keys", "windows", "sentences", "scales")}
        self._starts: dict[str, list[int]] = {name: [0] for name in ("offsets", "window_starts", "sentence_starts")}

    def __enter__(self) -> _Arrays:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._raw.values():
            file.close()

    @property
    def windows(self) -> int:
        return self._starts["window_starts"][-1]

    @property
    def sentences(self) -> int:
        return self._starts["sentence_starts"][-1]

    def add(self, key: bytes, windows: Vectors, sentences: Vectors) -> None:
        if not np.isfinite(windows).all() or not np.isfinite(sentences).all():
            raise ValueError("vectors that are not numbers")
        scales = np.abs(sentences).max(axis=1, initial=1e-9) / 127
        self._raw["keys"].write(key)
        self._raw["windows"].write(windows.astype(np.float16).tobytes())
        self._raw["sentences"].write(np.rint(sentences / scales[:, None]).astype(np.int8).tobytes())
        self._raw["scales"].write(scales.astype(np.float32).tobytes())
        self._starts["window_starts"].append(self.windows + len(windows))
        self._starts["sentence_starts"].append(self.sentences + len(sentences))

    def ends(self, size: int) -> None:
        """Note that a line of the passages ended."""
        self._starts["offsets"].append(self._starts["offsets"][-1] + size)

    def save(self) -> None:
        shapes: dict[str, tuple[str, type, tuple[int, ...]]] = {
            "keys": ("keys", np.uint8, (-1, KEY_BYTES)),
            "windows": ("windows", np.float16, (-1, self._dimension)),
            "sentences": ("sentences", np.int8, (-1, self._dimension)),
            "scales": ("sentence_scales", np.float32, (-1,)),
        }
        for name, (array, kind, shape) in shapes.items():
            self._raw[name].close()
            raw = self._folder / f"{name}.raw"
            values = np.memmap(raw, dtype=kind, mode="r") if raw.stat().st_size else np.zeros(0, dtype=kind)
            np.save(self._folder / f"{array}.npy", values.reshape(shape), allow_pickle=False)
            raw.unlink()
        for name, numbers in self._starts.items():
            np.save(self._folder / f"{name}.npy", np.array(numbers, dtype=np.int64), allow_pickle=False)


def joined(folder: Path, parts: Sequence[tuple[Segment, Mask]], dimension: int) -> dict[str, Any]:
    """Write the kept passages of several segments as one; nothing is embedded or taken apart again."""

    def kept() -> Iterator[tuple[Passage, bytes, Pair]]:
        for part, mask in parts:
            for row in np.flatnonzero(mask):
                yield part.passages[int(row)], bytes(part.keys[row]), part.vectors(int(row))

    words = Postings.joined([(part.words, mask) for part, mask in parts])
    return write(folder, kept(), words, dimension)
