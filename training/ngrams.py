"""A 5-gram model with interpolated modified Kneser-Ney smoothing: what a small decoder has to beat on held-out text.

After Chen & Goodman 1999, "An empirical study of smoothing techniques for language modeling", Computer Speech & Language 13,
pages 359-394: interpolated, with discounts from counts of counts (their equation 26). Written here because no library that
installs everywhere holds: kenlm needs a compiler, and nltk.lm (3.10) counts anew for each token that is asked for: 10 ms
after learning 10,000 tokens, and longer the more it learned. Here counts are sorted arrays, and a million tokens take seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agri_llm.errors import BadInput

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
ORDER = 5
DISCOUNT = 0.75  # where too few counts of counts are there to estimate one (Ney, Essen & Kneser 1994: 0.5 to 0.8)


@dataclass(frozen=True, kw_only=True)
class _Level:
    """The n-grams of one length, sorted by key, and what each of the contexts before their last token has to give.

    A key is the number of the n-gram without its last token, times the number of symbols, plus the last token. `kept` is the
    count of an n-gram less its discount; `total` the sum of counts after a context, `left` the share of it that was discounted.
    """

    keys: Ints
    kept: Floats
    total: Floats
    left: Floats


class KneserNey:
    """Probabilities of tokens after the tokens before them, learned from documents of tokens 0 to `vocabulary` - 1.

    No token is ever impossible. Raises BadInput where there is nothing to count.
    """

    def __init__(self, documents: Sequence[Sequence[int]], vocabulary: int, order: int = ORDER) -> None:
        self.vocabulary, self.order = vocabulary, order
        stream = self._stream(documents)
        real = stream != vocabulary
        if not real.any():
            raise BadInput("there are no tokens to count", "an n-gram model would know nothing", "give it longer texts")
        keys, ids = self._numbered(stream)
        self._levels: list[_Level] = []
        contexts = 1  # before a single token there is one context, the empty one
        for at, (own, place) in enumerate(zip(keys, ids, strict=True)):
            if at == order - 1:
                counted = place[real]
            else:  # in how many different ways an n-gram goes on to the left: what makes it likely where nothing else is known
                _, first = np.unique(ids[at + 1][real], return_index=True)
                counted = place[real][first]
            counts = np.bincount(counted, minlength=len(own)).astype(np.float64)
            self._levels.append(_level(own, counts, own // (vocabulary + 1), contexts))
            contexts = len(own)

    def log_probabilities(self, documents: Sequence[Sequence[int]]) -> list[Floats]:
        """Return the natural logarithm of the probability of each token of each document, after those before it."""
        stream = self._stream(documents)
        ids = self._looked_up(stream)
        found = np.full(len(stream), 1 / self.vocabulary)
        for at, level in enumerate(self._levels):
            context = np.zeros_like(stream) if at == 0 else _before(ids[at - 1])
            known = context >= 0
            known[known] = level.total[context[known]] > 0
            kept = np.where(ids[at] >= 0, level.kept[ids[at]], 0.0)
            total, left = level.total[context], level.left[context]
            found = np.where(known, kept / np.where(known, total, 1.0) + left * found, found)
        lengths = [len(document) for document in documents]
        return np.split(np.log(found[stream != self.vocabulary]), np.cumsum(lengths)[:-1])

    def probabilities(self, before: Sequence[int]) -> Floats:
        """Return the probability of each token of the vocabulary after these; at the begin of a document after none."""
        asked = [[*before, token] for token in range(self.vocabulary)]
        found: Floats = np.exp(np.array([each[-1] for each in self.log_probabilities(asked)]))
        return found

    def _stream(self, documents: Sequence[Sequence[int]]) -> Ints:
        """Return all documents in one row; marks before each keep it from seeing the one before."""
        begin = np.full(self.order - 1, self.vocabulary, np.int64)
        return np.concatenate([part for each in documents for part in (begin, np.asarray(each, np.int64))] or [begin])

    def _numbered(self, stream: Ints) -> tuple[list[Ints], list[Ints]]:
        """Return, for each length, the sorted keys of all n-grams, and the number of the one that ends at each place."""
        keys, ids = [], []
        context = np.zeros_like(stream)
        for _ in range(self.order):
            own, place = np.unique(context * (self.vocabulary + 1) + stream, return_inverse=True)
            keys.append(own)
            ids.append(place.astype(np.int64))
            context = _before(ids[-1])
            context[0] = 0  # a mark; no token of a document has it among those before it
        return keys, ids

    def _looked_up(self, stream: Ints) -> list[Ints]:
        """Return, for each length, the number of the n-gram that ends at each place, -1 where it was never met."""
        ids: list[Ints] = []
        context = np.zeros_like(stream)
        for level in self._levels:
            wanted = np.where(context >= 0, context * (self.vocabulary + 1) + stream, -1)
            place = np.minimum(np.searchsorted(level.keys, wanted), len(level.keys) - 1)
            ids.append(np.where(level.keys[place] == wanted, place, -1))
            context = _before(ids[-1])
            context[0] = 0
        return ids


def _before(ids: Ints) -> Ints:
    """Return the number that stands one place earlier; -1 before the first."""
    return np.concatenate([[-1], ids[:-1]])


def _level(keys: Ints, counts: Floats, contexts: Ints, number: int) -> _Level:
    """Take discounts off the counts of n-grams of one length, and give what was taken to their contexts."""
    discounts = discounts_of(counts)
    taken = np.minimum(discounts[np.minimum(counts, 3).astype(np.int64)], counts)
    total: Floats = np.bincount(contexts, weights=counts, minlength=number).astype(np.float64)
    freed: Floats = np.bincount(contexts, weights=taken, minlength=number).astype(np.float64)
    return _Level(keys=keys, kept=counts - taken, total=total, left=freed / np.where(total > 0, total, 1.0))


def discounts_of(counts: Floats) -> Floats:
    """Return what is taken off a count of 0, 1, 2, and 3 or more: Chen & Goodman 1999, equation 26."""
    n1, n2, n3, n4 = (int((counts == many).sum()) for many in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):
        return np.array([0.0, DISCOUNT, DISCOUNT, DISCOUNT])
    share = n1 / (n1 + 2 * n2)
    estimated = [1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3]
    return np.array([0.0, *(one if 0 < one < many else DISCOUNT for many, one in enumerate(estimated, start=1))])
