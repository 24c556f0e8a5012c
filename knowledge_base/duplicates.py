"""Equal and nearly equal passages: five copies of one page are not five witnesses."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

from agri_llm.records import Passage

_SHINGLE_WORDS = 5
_NEARLY_EQUAL = 0.9  # share of common shingles, Jaccard
_FEWEST_WORDS = 20  # below this one changed word is a different statement: only equal texts count
_DENIALS = {"no", "not", "never", "without", "cannot"}
_TOKEN = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]|[^\W_]+")


def without_duplicates(passages: Iterable[Passage]) -> list[Passage]:
    """Return the passages in their order, without those that say what an earlier one says.

    Texts that differ in a number or a "not" are never duplicates: another dose is another fact. MinHash finds the
    candidates, the shingles themselves decide, so the result is the same on every run (Broder 1997).
    """
    from datasketch import MinHash, MinHashLSH

    kept: list[Passage] = []
    texts: set[str] = set()
    index = MinHashLSH(threshold=_NEARLY_EQUAL - 0.1, num_perm=64)  # lower, so that hardly any candidate is missed
    blank = MinHash(num_perm=64, hashfunc=zlib.crc32)
    for passage in passages:
        words = _words(passage.text)
        plain = " ".join(passage.text.split())
        if plain in texts:
            continue
        if len(words) >= _FEWEST_WORDS:
            sketch = blank.copy()  # shares the permutations: drawing them takes longer than the sketch
            sketch.update_batch([shingle.encode() for shingle in _shingles(words)])
            if any(_nearly_equal(words, _words(kept[place].text)) for place in index.query(sketch)):
                continue
            index.insert(len(kept), sketch)
        texts.add(plain)
        kept.append(passage)
    return kept


def _words(text: str) -> list[str]:
    return _TOKEN.findall(text.casefold())


def _shingles(words: list[str]) -> set[str]:
    return {" ".join(words[place : place + _SHINGLE_WORDS]) for place in range(len(words) - _SHINGLE_WORDS + 1)}


def _nearly_equal(words: list[str], others: list[str]) -> bool:
    if _deciding(words) != _deciding(others):
        return False
    ours, theirs = _shingles(words), _shingles(others)
    return len(ours & theirs) >= _NEARLY_EQUAL * len(ours | theirs)


def _deciding(words: list[str]) -> list[str]:
    """Return the words of which one is enough to make another statement."""
    return sorted(word for word in words if word[0].isdigit() or word in _DENIALS)
