"""The words of an answer that are not quoted: clarifications, refusals, joining words; one JSON file a language."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources


@cache
def _phrases(language: str) -> dict[str, str]:
    file = resources.files(__package__) / f"{language}.json"
    if not file.is_file():
        return _phrases("en")
    found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return found


def phrase(language: str | None, key: str, **values: str) -> str:
    """Return a phrase in a language (English where we do not have it), with its places filled in."""
    text = _phrases(language or "en").get(key) or _phrases("en")[key]
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text
