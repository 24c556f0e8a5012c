"""The word half of a search: which words stand in which passages, scored with BM25 over all segments of an index.

The formula is that of Lucene (Kamphuis et al., "Which BM25 do you mean?", ECIR 2020), checked in the tests against bm25s.
No library scores added passages with the statistics of the whole index and without writing everything anew, hence this one.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Measured on the agxqa and agask development questions; the usual default is 1.5 / 0.75. See docs/benchmarks.md.
K1, B = 1.0, 0.75
MOST_COUNTED = 65_535  # a word that stands more often in one passage is counted this often
SAMPLE = 16_384  # passages of the rarest words that the threshold of a search is taken from
LOOKED_UP = 32  # looking one passage up in the list of a word takes as long as going through so many of the list

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]
Scores = NDArray[np.float32]


class Postings:
    """The words of one segment: for each word the passages it stands in, ascending, and how often; plain arrays."""

    def __init__(
        self,
        vocabulary: dict[str, int],
        starts: NDArray[np.int64],  # (words + 1,) where the list of each word begins
        rows: NDArray[np.uint32],  # (postings,) passages
        counts: NDArray[np.uint16],  # (postings,) how often the word stands there
        lengths: NDArray[np.uint32],  # (passages,) words of each passage
    ) -> None:
        self.vocabulary, self.starts, self.rows, self.counts, self.lengths = vocabulary, starts, rows, counts, lengths

    @property
    def passages(self) -> int:
        """How many passages there are, those without any word too."""
        return len(self.lengths)

    @classmethod
    def build(cls, passages: Iterable[Sequence[str]]) -> Postings:
        """Take in the words of passages, in row order."""
        vocabulary: dict[str, int] = {}
        columns, counts, different, lengths = array("I"), array("H"), array("I"), array("I")
        for words in passages:
            counted = Counter(words)
            columns.extend([vocabulary.setdefault(word, len(vocabulary)) for word in counted])
            counts.extend([min(count, MOST_COUNTED) for count in counted.values()])
            different.append(len(counted))
            lengths.append(len(words))
        rows = np.repeat(np.arange(len(different), dtype=np.uint32), np.frombuffer(different, np.uint32))
        return cls._sorted(
            vocabulary,
            np.frombuffer(columns, np.uint32),
            rows,
            np.frombuffer(counts, np.uint16),
            np.array(lengths, dtype=np.uint32),
        )

    @classmethod
    def _sorted(
        cls,
        vocabulary: dict[str, int],
        columns: NDArray[np.uint32],
        rows: NDArray[np.uint32],
        counts: NDArray[np.uint16],
        lengths: NDArray[np.uint32],
    ) -> Postings:
        """Bring postings, which come by row, into the order of their words."""
        order = np.argsort(columns, kind="stable")
        starts = np.zeros(len(vocabulary) + 1, dtype=np.int64)
        np.cumsum(np.bincount(columns, minlength=len(vocabulary)), out=starts[1:])
        return cls(vocabulary, starts, rows[order], counts[order], lengths)

    @classmethod
    def joined(cls, parts: Sequence[tuple[Postings, Mask]]) -> Postings:
        """Join segments, only the rows that each mask keeps; rows are numbered through."""
        vocabulary: dict[str, int] = {}
        columns, rows, counts, lengths, before = [], [], [], [], 0
        for part, kept in parts:
            numbers = np.array([vocabulary.setdefault(word, len(vocabulary)) for word in part.vocabulary], dtype=np.uint32)
            new_row = np.cumsum(kept) - 1 + before
            stays = kept[part.rows]
            columns.append(np.repeat(numbers, np.diff(part.starts))[stays])
            rows.append(new_row[part.rows[stays]].astype(np.uint32))
            counts.append(np.asarray(part.counts)[stays])
            lengths.append(np.asarray(part.lengths)[kept])
            before += int(kept.sum())
        return cls._sorted(
            vocabulary, np.concatenate(columns), np.concatenate(rows), np.concatenate(counts), np.concatenate(lengths)
        )

    def save(self, folder: Path) -> None:
        """Write plain numpy arrays and a JSON list."""
        (folder / "vocabulary.json").write_text(json.dumps(list(self.vocabulary), ensure_ascii=False), encoding="utf-8")
        for name in ("starts", "rows", "counts", "lengths"):
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)

    @classmethod
    def open(cls, folder: Path) -> Postings:
        """Map what `save` wrote; nothing is unpickled."""
        names = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        starts, rows, counts = (mapped(folder / f"{name}.npy") for name in ("starts", "rows", "counts"))
        lengths = np.load(folder / "lengths.npy", allow_pickle=False)
        return cls({name: number for number, name in enumerate(names)}, starts, rows, counts, lengths)

    def frequency(self, word: str) -> int:
        """In how many passages a word stands."""
        column = self.vocabulary.get(word)
        return 0 if column is None else int(self.starts[column + 1] - self.starts[column])

    def of(self, word: str) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
        """Return the passages of a word, ascending, and how often it stands in each; empty where it is unknown."""
        column = self.vocabulary.get(word)
        start, end = (0, 0) if column is None else (int(self.starts[column]), int(self.starts[column + 1]))
        return self.rows[start:end], self.counts[start:end]


def mapped(path: Path) -> Any:
    """Map an array from disk; a small one, which may be empty, is read."""
    array = np.load(path, mmap_mode="r" if path.stat().st_size > 4096 else None, allow_pickle=False)
    return array.view(np.ndarray)  # a plain array over the same bytes: taking parts of a memmap is slow


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The words of a query with their weights, and the most that any passage could score for it."""

    weights: dict[str, float]
    bound: float


class WordSearch:
    """BM25 over the segments of one version of an index, deleted passages left out of every count."""

    def __init__(self, segments: Sequence[tuple[Postings, Rows]]) -> None:
        """Take segments, each with its deleted rows, ascending."""
        self._segments = list(segments)
        self.passages = sum(part.passages - len(gone) for part, gone in segments)
        words = sum(int(part.lengths.sum(dtype=np.int64) - part.lengths[gone].sum(dtype=np.int64)) for part, gone in segments)
        average = words / max(self.passages, 1) or 1.0
        # (passages,) of each segment: the part of the formula that depends on the length of a passage alone
        self._norms = [(K1 * (1 - B + B * part.lengths / average)).astype(np.float32) for part, _ in segments]

    def frequency(self, word: str) -> int:
        """In how many passages a word stands, over all segments."""
        return sum(part.frequency(word) - _shared(part.of(word)[0], gone) for part, gone in self._segments)

    def rarity(self, word: str) -> float:
        """Inverse document frequency, log(1 + (N - n + 0.5) / (n + 0.5)); unknown words are the rarest."""
        having = self.frequency(word)
        return float(np.log1p((self.passages - having + 0.5) / (having + 0.5)))

    def terms(self, query: Sequence[str]) -> Terms:
        """Weigh the words of a query, each as often as it stands there.

        The bound is the sum of the rarities of all its words, since Lucene's term weight stays below 1 (the theoretical
        maximum of Bruch et al., arXiv 2210.11934); so a query whose words are mostly unknown scores low everywhere.
        """
        weights = {word: count * self.rarity(word) for word, count in Counter(query).items()}
        known = {word: weight for word, weight in weights.items() if any(part.frequency(word) for part, _ in self._segments)}
        return Terms(weights=known, bound=sum(weights.values()))

    def at(self, segment: int, terms: Terms, rows: Rows) -> Scores:
        """Score the given rows of a segment, ascending, as a share of the bound, (rows,)."""
        scores = np.zeros(len(rows), dtype=np.float32)
        for word, weight in terms.weights.items():
            self._add(segment, word, weight, rows, scores)
        return _share(scores, terms)

    def best(self, segment: int, terms: Terms, k: int, allowed: Mask | None) -> tuple[Rows, Scores]:
        """Return at least the k best rows of a segment, ascending, and their scores; fewer where fewer share a word.

        Rare words go first; once no passage of common words alone can come among the best, common words are looked up for
        those found so far only (Turtle and Flood, MaxScore, 1995). The result is exact.
        """
        part, norms = self._segments[segment][0], self._norms[segment]
        scores = np.zeros(part.passages, dtype=np.float32)
        ahead = sorted(terms.weights.items(), key=lambda item: part.frequency(item[0]))
        sample, floor, rest = np.zeros(0, dtype=np.uint32), 0.0, sum(terms.weights.values())
        while ahead:
            word, weight = ahead[0]
            rows, counts = part.of(word)
            if rest < floor and np.count_nonzero(scores >= floor - rest) * LOOKED_UP < len(rows):
                break
            scores[rows] += np.float32(weight) * (counts / (counts + norms[rows]))
            rest -= weight
            ahead.pop(0)
            if len(sample) < k:
                seen = rows if allowed is None else rows[allowed[rows]]
                sample = np.union1d(sample, seen[:SAMPLE])
            if len(sample) >= k:
                floor = float(np.partition(scores[sample], -k)[-k]) * (1 - 1e-5)  # what rounding may have taken
        found = np.flatnonzero(scores >= max(floor - rest if ahead else floor, 1e-9))
        if allowed is not None:
            found = found[allowed[found]]
        chosen = scores[found]
        for word, weight in ahead:
            self._add(segment, word, weight, found, chosen)
        if len(found) > k:
            cut = np.partition(chosen, -k)[-k]  # what scores as much as the last one stays
            found, chosen = found[chosen >= cut], chosen[chosen >= cut]
        return found, _share(chosen, terms)

    def _add(self, segment: int, word: str, weight: float, rows: Rows, scores: Scores) -> None:
        """Add what a word is worth to the scores of ascending rows."""
        having, counts = self._segments[segment][0].of(word)
        if not len(having) or not len(rows):
            return
        at = np.searchsorted(having, rows.astype(having.dtype))
        at[at == len(having)] = 0
        hit = having[at] == rows
        counted = counts[at[hit]].astype(np.float32)
        scores[hit] += np.float32(weight) * (counted / (counted + self._norms[segment][rows[hit]]))


def _share(scores: Scores, terms: Terms) -> Scores:
    return scores / np.float32(terms.bound) if terms.bound > 0 else scores


def _shared(rows: NDArray[np.uint32], gone: Rows) -> int:
    """How many of `gone` stand in ascending `rows`."""
    if not len(gone) or not len(rows):
        return 0
    at = np.searchsorted(rows, gone.astype(rows.dtype))
    at[at == len(rows)] = 0
    return int((rows[at] == gone).sum())
