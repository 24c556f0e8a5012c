"""A few of the shipped sheets in a folder of their own, so that tests need not read all of them."""

from __future__ import annotations

import shutil
from pathlib import Path

from agri_llm.records import Passage
from knowledge_base import shipped

NAMES = (
    "potato-late-blight", "potato-early-blight", "tomato-late-blight", "maize-fall-armyworm", "rice-blast", "potato-growing",
    "liming-acid-soils", "zinc-deficiency",
)  # fmt: skip


def copied(folder: Path, names: tuple[str, ...] = NAMES) -> Path:
    """Copy some sheets, in English and Chinese, to a folder that is laid out as the corpus."""
    for language in ("en", "zh"):
        (folder / language).mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copy(shipped.CORPUS / language / f"{name}.md", folder / language)
    return folder


def passages(folder: Path) -> list[Passage]:
    """Return the passages of sheets in a folder, as those of the corpus are read."""
    before = shipped.CORPUS
    shipped.CORPUS = folder
    try:
        return shipped.sheets()
    finally:
        shipped.CORPUS = before
