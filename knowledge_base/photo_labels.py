"""What the labels of the photo model mean: the sheet of each (photo_labels.csv), and its name in the languages of people."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

from agri_llm.records import HEALTHY
from knowledge_base.terms import Glossary

HEALTHY_NAMES = {
    "en": "healthy {crop}", "zh": "健康的{crop}", "es": "{crop} sano", "fr": "{crop}, sain", "pt": "{crop} saudável",
    "hi": "स्वस्थ {crop}", "sw": "{crop} yenye afya", "ar": "{crop} سليم",
}  # fmt: skip


def sheet_of(label: str) -> str | None:
    """Return the document that a label is about; None for labels of somebody else's model."""
    return _sheets().get(label)


def name_of(label: str, language: str) -> str:
    """Return a label in words for people: "tomato late blight", "healthy bean"; its own letters where nobody named it."""
    if label.endswith(HEALTHY):
        crop = _in_language(_words(label.removesuffix(HEALTHY)), language)
        return HEALTHY_NAMES.get(language, HEALTHY_NAMES["en"]).format(crop=crop)
    return _in_language(_words(sheet_of(label) or label), language)


def subject_of(label: str, language: str) -> str:
    """Return what to look for in the sheets when a photo has this label; of a healthy plant, how such a plant looks."""
    if not label.endswith(HEALTHY):
        return name_of(label, language)
    crop = _in_language(_words(label.removesuffix(HEALTHY)), language)
    return f"{crop}健康植株" if language == "zh" else f"{crop}: what a healthy plant looks like"


def _words(name: str) -> str:
    return name.replace("__", " ").replace("-", " ").replace("_", " ")


def _in_language(subject: str, language: str) -> str:
    """Return English words by the names that the glossary has for them in a language."""
    if language == "en":
        return subject
    glossary = Glossary.load()
    found = [glossary.name(each.term.id, language) for each in glossary.find(subject)]
    return ("" if language == "zh" else ", ").join(found) or subject


@cache
def _sheets() -> dict[str, str]:
    with Path(__file__).with_name("photo_labels.csv").open(encoding="utf-8", newline="") as lines:
        return {row["label"]: row["document_id"] for row in csv.DictReader(lines)}
