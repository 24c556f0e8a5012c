"""What tells the labels of the photo model apart: a sentence of the shipped sheets for each, word for word."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from agri_llm import sentences
from agri_llm.records import BACKGROUND, Passage
from knowledge_base import photo_labels, shipped
from knowledge_base.documents import read
from knowledge_base.passages import cut
from knowledge_base.terms import Glossary

ENGLISH = "en"
PROBLEMS = frozenset({"disease", "pest"})
# The first section of a sheet says how the crop looks; its last sentences compare, and begin with what they compare to. Of 38
# pairs of labels whose English sheet names the other somewhere in it, 4 got a sentence on something else ("they eat its
# eggs"); with both rules none does, and 33 keep theirs.
COMPARING = 3


@dataclass(frozen=True, kw_only=True)
class Sign:
    """A sentence of a sheet; `sentence` occurs verbatim in `passage.text`."""

    passage: Passage
    sentence: str


def typical(label: str, language: str) -> Sign | None:
    """Return how a label looks: the first sentence of its sheet, in a language or in English; None where there is none."""
    return next(iter(_signs(label, language)), None)


def apart(label: str, other: str, language: str) -> Sign | None:
    """Return what tells `other` from `label`: a sentence of one sheet that names the other, else how `other` looks.

    None where both have the same sheet, or the other has none that says how a crop looks.
    """
    if photo_labels.sheet_of(label) == photo_labels.sheet_of(other):
        return None
    return _named(label, other, language) or _named(other, label, language) or typical(other, language)


def likely(label: str, language: str) -> tuple[str, ...]:
    """Return the labels with which the sheet of a label compares it, in the order of its sentences."""
    own = typical(label, language)
    if own is None:
        return ()
    found = {other: _named(label, other, language) for other in photo_labels.known() if other != label}
    order = [sign.sentence for sign in _signs(label, language)]
    named = [(order.index(sign.sentence), other) for other, sign in found.items() if sign is not None]
    return tuple(other for _, other in sorted(named))


def _named(label: str, other: str, language: str) -> Sign | None:
    """Return the sentence in which the sheet of a label says how another one of its crop differs."""
    signs, others = _signs(label, language), _signs(other, language)
    if not signs or not others or not set(signs[0].passage.crop) & set(others[0].passage.crop):
        return None
    wanted = _problems(others[0].passage.title) - _problems(signs[0].passage.title)
    return next((sign for sign in signs[-COMPARING:] if wanted & _problems(sign.sentence[: len(sign.sentence) // 2])), None)


def _problems(text: str) -> set[str]:
    return {found.term.id for found in Glossary.load().find(text, PROBLEMS)}


@cache
def _signs(label: str, language: str) -> tuple[Sign, ...]:
    """Return the sentences of the first section of a label's sheet, which says what to look for."""
    sheet = photo_labels.sheet_of(label)
    if sheet is None or label == BACKGROUND:
        return ()
    path = shipped.CORPUS / language / f"{sheet}.md"
    if not path.is_file():
        path = shipped.CORPUS / ENGLISH / f"{sheet}.md"
    passages = [passage for document in read(path) for passage in cut(document)]
    section = [passage for passage in passages if passage.heading == passages[0].heading]
    return tuple(Sign(passage=passage, sentence=span.text) for passage in section for span in sentences.split(passage.text))
