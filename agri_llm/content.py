"""The words of a text that carry its meaning, cut to comparable stems: enough to tell whether two sentences say the same."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import regex

# Accents, the short vowels of Arabic and the dot below a letter of Hindi; people type them or not.
_MARKS = regex.compile(r"[\u0300-\u036f\u064b-\u065f\u0670\u093c]")
_ALIKE = str.maketrans("ँىة’", "ंيه'")  # typed for each other
_LETTER = r"[[\p{L}\p{M}\p{N}]--\p{Han}]"
_WORD = regex.compile(rf"\p{{Han}}|{_LETTER}+(?:[.,'\-]{_LETTER}+)*", regex.V1)
_EMPTY = frozenset(
    (
        "the a an of and or to in on for with by as at is are was were be been it its this that these those from can "
        "may will should you your if then than so such into which who when while also only very more most some any all "
        "each other them they their has have had do does not no"
    ).split()
)
# Chinese characters that join others, ask or address; each stands by itself here.
_EMPTY |= frozenset("的了吗呢啊吧是在和与及或也就都很把被给让我你您们这那有要会能可以等而则其之所着过得地啥咋怎么什请问多少几")
_ENDINGS = ("ations", "ation", "ingly", "ings", "ing", "edly", "ies", "ied", "ers", "es", "ed", "er", "ly", "s", "e", "y")


def folded(text: str) -> str:
    """Return a text without the marks that people often leave out: "cuántas" as "cuantas", "أوراق" as "اوراق"."""
    if text.isascii():
        return text
    bare = _MARKS.sub("", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", bare).translate(_ALIKE)


def content_words(text: str) -> list[str]:
    """Return the words of a text in lower case and order, without those that only join others."""
    return [word for word in _WORD.findall(text.lower()) if word not in _EMPTY]


def stems(text: str) -> set[str]:
    """Return the stems of a text's content words."""
    return {stem(word) for word in content_words(text)}


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """Cut the commonest English endings."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            root = word[: -len(ending)]
            return root[:-1] if ending not in ("e", "y") and len(root) > 4 and root[-1] in "ey" else root  # sprayed as spray
    return word[:-1] if len(word) == 4 and word.endswith("s") else word
