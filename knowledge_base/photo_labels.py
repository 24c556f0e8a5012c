"""What the labels of the photo model mean: the sheet of each (photo_labels.csv), and its name in the languages of people."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

from knowledge_base.terms import Glossary


def sheet_of(label: str) -> str | None:
    """Return the document that a label is about; None for labels of somebody else's model."""
    return _sheets().get(label)


def name_of(label: str, language: str) -> str:
    """Return a label in words: the glossary's names in the language, else the English of its sheet, else its own letters."""
    subject = (sheet_of(label) or label.replace("__", " ")).replace("-", " ").replace("_", " ")
    if language == "en":
        return subject
    glossary = Glossary.load()
    found = [glossary.name(each.term.id, language) for each in glossary.find(subject)]
    return ("" if language == "zh" else ", ").join(found) or subject


@cache
def _sheets() -> dict[str, str]:
    with Path(__file__).with_name("photo_labels.csv").open(encoding="utf-8", newline="") as lines:
        return {row["label"]: row["document_id"] for row in csv.DictReader(lines)}
