"""What the labels of the photo model mean: the sheet of each (photo_labels.csv), and its name in the languages of people."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from agri_llm.errors import SettingsInvalid
from agri_llm.records import BACKGROUND, HEALTHY
from knowledge_base.terms import Glossary

_LABEL = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*__[a-z0-9]+(?:_[a-z0-9]+)*")  # "crop__condition"
HEALTHY_NAMES = {
    "en": "healthy {crop}", "zh": "健康的{crop}", "es": "{crop} sano", "fr": "{crop}, sain", "pt": "{crop} saudável",
    "hi": "स्वस्थ {crop}", "sw": "{crop} yenye afya", "ar": "{crop} سليم",
}  # fmt: skip

PEST = "_pest"  # what the crop of a label ends in where the photo shows an animal


def read_names(path: Path) -> dict[str, str]:
    """Read which of our labels those of somebody else's model are. Raises SettingsInvalid."""
    found = f"AGRI_PHOTO_LABELS is {str(path)!r}"
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsInvalid(found, f"it cannot be read ({error})", "give a JSON object") from error
    if not isinstance(names, dict) or not names:
        raise SettingsInvalid(found, "it holds no names", 'give a JSON object like {"rust": "common_bean__rust"}')
    for theirs, ours in names.items():
        if not (isinstance(ours, str) and (ours == BACKGROUND or _LABEL.fullmatch(ours))):
            why = f"{theirs!r} is {ours!r} in it, which is no label of ours"
            raise SettingsInvalid(found, why, f'write it like "common_bean__rust", "common_bean{HEALTHY}" or "{BACKGROUND}"')
    return names


def by_label(names: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return for every label of ours the names that stand for it."""
    return {ours: tuple(theirs for theirs, label in names.items() if label == ours) for ours in names.values()}


def labels() -> tuple[str, ...]:
    """Return all labels that a sheet is about."""
    return tuple(_sheets())


def sheet_of(label: str) -> str | None:
    """Return the document that a label is about; None for labels of somebody else's model."""
    return _sheets().get(label)


def known() -> tuple[str, ...]:
    """Return the labels that have a sheet."""
    return tuple(_sheets())


def name_of(label: str, language: str) -> str:
    """Return a label in words for people: "tomato late blight", "healthy bean"; its own letters where nobody named it."""
    if label.endswith(HEALTHY):
        crop = _in_language(_words(label.removesuffix(HEALTHY)), language)
        return HEALTHY_NAMES.get(language, HEALTHY_NAMES["en"]).format(crop=crop)
    return _in_language(_words(sheet_of(label) or label), language)


def crops() -> tuple[str, ...]:
    """Return the crops that labels are about, as the labels call them."""
    return tuple(dict.fromkeys(crop for label in _sheets() if (crop := crop_in(label))))


def conditions(crop: str) -> tuple[str, ...]:
    """Return the labels of a crop, its pests and its healthy state among them."""
    return tuple(label for label in _sheets() if crop_in(label) == crop)


def crop_in(label: str) -> str:
    """Return the crop in a label, "rice" for "rice_pest__snail"; "" where it has none."""
    crop, parts, _ = label.partition("__")
    return crop.removesuffix(PEST) if parts else ""


def crop_name(crop: str, language: str) -> str:
    """Return the name of a crop in the words of people."""
    return _in_language(_words(crop), language)


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
    found = [name for name in found if not any(name in other for other in found if other != name)]  # 玉米 in 玉米大斑病
    return ("" if language == "zh" else ", ").join(found) or subject


@cache
def _sheets() -> dict[str, str]:
    with Path(__file__).with_name("photo_labels.csv").open(encoding="utf-8", newline="") as lines:
        return {row["label"]: row["document_id"] for row in csv.DictReader(lines)}
