"""The words of a text that carry its meaning, cut to comparable stems: enough to tell whether two sentences say the same."""

from __future__ import annotations

from functools import lru_cache

import regex

_WORD = regex.compile(r"\p{Han}|[\p{L}\p{N}]+(?:[.,'-][\p{L}\p{N}]+)*")
_EMPTY = frozenset(
    [
        "the",
        "a",
        "an",
        "of",
        "and",
        "or",
        "to",
        "in",
        "on",
        "for",
        "with",
        "by",
        "as",
        "at",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "it",
        "its",
        "this",
        "that",
        "these",
        "those",
        "from",
        "can",
        "may",
        "will",
        "should",
        "you",
        "your",
        "if",
        "then",
        "than",
        "so",
        "such",
        "into",
        "which",
        "who",
        "when",
        "while",
        "also",
        "only",
        "very",
        "more",
        "most",
        "some",
        "any",
        "all",
        "each",
        "other",
        "them",
        "they",
        "their",
        "has",
        "have",
        "had",
        "do",
        "does",
        "not",
        "no",
    ]
)
_ENDINGS = ("ations", "ation", "ingly", "ings", "ing", "edly", "ies", "ied", "ers", "es", "ed", "er", "ly", "s", "e", "y")


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
