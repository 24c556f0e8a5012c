"""The word half of a search: text to words, words to BM25 scores (bm25s), kept as plain arrays on disk."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import bm25s
import numpy as np
import regex
import Stemmer
from numpy.typing import NDArray

# Measured on the agxqa and agask development questions; the library's default is 1.5 / 0.75. See docs/benchmarks.md.
K1, B = 1.0, 0.75
# Names what a word index depends on; an index made otherwise is refused.
TOKENIZER_VERSION = f"words-2 k1={K1} b={B}"

# Scripts written without spaces are cut into overlapping pieces of two characters.
_NO_SPACES = r"[[\p{L}\p{M}\p{N}]&&[\p{Han}\p{Hiragana}\p{Katakana}ー\p{Thai}\p{Khmer}\p{Lao}\p{Myanmar}]]"
_CHARACTER = rf"[[\p{{L}}\p{{M}}\p{{N}}]--{_NO_SPACES}]"
# A word keeps its inner points, hyphens and slashes, so that "2,4-D", "15-15-15" and "6.5" stay whole.
_WORD = regex.compile(rf"(?P<run>{_NO_SPACES}+)|{_CHARACTER}+(?:[.,'’\-/]{_CHARACTER}+)*", regex.V1)
_PART = regex.compile(r"[\p{L}\p{M}\p{N}]+")
# Our own list: the usual ones throw away "no" and "not", which turn advice round.
STOP_WORDS = frozenset(
    """a an and are as at be been being but by can could did do does for from had has have how i if in into is it its me my of
    on or our should so such than that the their them then there these they this to was we were what when where which who why
    will with would you your am about some any im""".split()
)


def words(text: str) -> list[str]:
    """Return the index words of a text, in order: lower case, English stems, codes and numbers kept whole and in parts."""
    found: list[str] = []
    for match in _WORD.finditer(text.lower()):
        whole = match.group()
        if match["run"]:
            found.extend(_pieces(whole))
            continue
        parts = _PART.findall(whole)
        if len(parts) > 1:
            found.append(whole.replace("’", "'"))
        found.extend(_stem(part) for part in parts if part not in STOP_WORDS and not (len(parts) > 1 and part == "s"))
    return found


def _pieces(run: str) -> list[str]:
    return [run[start : start + 2] for start in range(max(len(run) - 1, 1))]


_stemmer = threading.local()  # Snowball stemmers keep state and may not be shared by threads


@lru_cache(maxsize=200_000)
def _stem(word: str) -> str:
    if not hasattr(_stemmer, "english"):
        _stemmer.english = Stemmer.Stemmer("english")
    stem: str = _stemmer.english.stemWord(word)
    return stem


class WordIndex:
    """BM25 over passages (Robertson; the variant of Lucene, as in bm25s)."""

    def __init__(self, bm25: bm25s.BM25) -> None:
        self._bm25 = bm25
        self._vocabulary: dict[str, int] = bm25.vocab_dict
        self._starts = np.asarray(bm25.scores["indptr"])
        self.passages = int(bm25.scores["num_docs"])

    @classmethod
    def build(cls, texts: Sequence[str]) -> WordIndex:
        """Index passages in order; row i of every score array is texts[i]."""
        bm25 = bm25s.BM25(method="lucene", k1=K1, b=B)
        # A passage without any word would make the library drop its row.
        bm25.index([words(text) or [""] for text in texts], show_progress=False)
        return cls(bm25)

    @classmethod
    def open(cls, folder: Path) -> WordIndex:
        """Map an index that `save` wrote; nothing is unpickled."""
        return cls(bm25s.BM25.load(str(folder), mmap=True, show_progress=False))

    def save(self, folder: Path) -> None:
        """Write plain numpy arrays and JSON."""
        self._bm25.save(str(folder), show_progress=False)

    def rarity(self, word: str) -> float:
        """Inverse document frequency, log(1 + (N - n + 0.5) / (n + 0.5)); unknown words are the rarest."""
        column = self._vocabulary.get(word)
        having = 0 if column is None else int(self._starts[column + 1] - self._starts[column])
        return float(np.log1p((self.passages - having + 0.5) / (having + 0.5)))

    def scores(self, query: str) -> NDArray[np.float32]:
        """Score every passage as a share, 0–1, of the most that any passage could reach for this query, (passages,).

        The bound is the sum of the rarities of the query's words, since lucene's term weight stays below 1 (the
        theoretical minimum and maximum of Bruch et al., arXiv 2210.11934); so a query whose words are mostly unknown
        scores low everywhere.
        """
        query_words = words(query)
        known = [word for word in query_words if word in self._vocabulary]
        bound = sum(self.rarity(word) for word in query_words)
        if not known or bound <= 0:
            return np.zeros(self.passages, dtype=np.float32)
        return np.asarray(self._bm25.get_scores(known), dtype=np.float32) / np.float32(bound)
