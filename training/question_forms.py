"""How farmers ask: forms of questions in English and Chinese, and which sections of a sheet answer each of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from random import Random
from typing import Any

import regex

from agri_llm.records import Passage

LANGUAGES = ("en", "zh")  # those that the forms are in
_ASIDE = regex.compile(r"\s*[(（][^()（）]*[)）]")
_QUOTED = regex.compile(r"^(.{4,}?)[：:].*$")
_HOW = regex.compile(r"^(?:How to |怎样|怎么)")


@dataclass(frozen=True, kw_only=True)
class Family:
    """One thing that is asked of every sheet of a sort; `roles` are the sections that answer, `beside` those that add to it."""

    name: str
    roles: tuple[str, ...]
    beside: tuple[str, ...]
    forms: tuple[str, ...]


@cache
def forms() -> dict[str, Any]:
    """Return the file of forms."""
    text = resources.files("training").joinpath("question_templates.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@cache
def roles() -> dict[str, str]:
    """Map each heading of a sheet, in small letters, to what its section is for."""
    return {heading.lower(): role for role, headings in forms()["headings"].items() for heading in headings}


def role_of(passage: Passage) -> str:
    """Return what the section of a passage is for, "" in documents that are no sheets of ours."""
    return roles().get(passage.heading.rsplit(" > ", 1)[-1].strip().lower(), "")


def families(sort: str, language: str) -> list[Family]:
    """Return what is asked of a sort of document: "problem", "growing", "practice", or "document" for any other."""
    return [
        Family(name=name, roles=tuple(said["roles"]), beside=tuple(said["beside"]), forms=tuple(said[language]))
        for name, said in forms()["families"][sort].items()
    ]


def sort_of(passages: Sequence[Passage]) -> str:
    """Return which sort of sheet a document is, by its sections."""
    found = {role_of(passage) for passage in passages}
    if "healthy" in found:
        return "growing"
    if "why" in found and "mistakes" in found:
        return "practice"
    return "problem" if "sign" in found or {"prevention", "expert"} <= found else "document"


def topic_of(passages: Sequence[Passage]) -> str:
    """Return the title of a sheet as it stands inside a sentence: without asides, small where it is no name."""
    title: str = _ASIDE.sub("", passages[0].title).strip()
    title = _QUOTED.sub(r"\1", title)
    title = _HOW.sub("", title)
    first = title.split(" ")[0]
    everywhere = " ".join(passage.text for passage in passages)
    # A word that the sheet itself writes small inside its sentences is no name; one that it never uses is taken for none.
    named = regex.search(rf"(?<=[\p{{Ll}},] ){regex.escape(first)}\b", everywhere)
    if first[:1].isupper() and (first.lower() in everywhere or not named):
        return first[0].lower() + title[1:]
    return title


def filled(form: str, **words: str) -> str:
    """Put words into a form of a question; {Topic} is the topic with a capital letter."""
    if "topic" in words:
        words["Topic"] = words["topic"][:1].upper() + words["topic"][1:]
    found: str = regex.sub(r"\{(\w+)\}", lambda place: words[place[1]], form)
    return found


def chosen(options: Sequence[str], seed: str) -> str:
    """Return one of the options, always the same for a seed."""
    return Random(seed).choice(list(options))
