"""What a question asks: its intent, the crop and problem it names, and what "and for maize?" means after another question."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import regex

from agri_llm.records import Intent, Question

MAX_CHARACTERS = 2000


class TermLike(Protocol):
    """A glossary entry."""

    @property
    def id(self) -> str:
        """English slug."""

    @property
    def kind(self) -> str:
        """crop, disease, pest, nutrient, input, stage, part, sign, practice, place or farming."""


class MentionLike(Protocol):
    """Where a text names a glossary entry."""

    @property
    def term(self) -> TermLike:
        """The entry."""

    @property
    def start(self) -> int:
        """First character."""

    @property
    def end(self) -> int:
        """Character after the last one."""


class Glossary(Protocol):
    """What understanding a question needs of a glossary; `knowledge_base.terms.Glossary` is one."""

    def find(self, text: str, kinds: Collection[str] | None = None) -> Sequence[MentionLike]:
        """Mentions in order, longest first where they overlap."""

    def name(self, term_id: str, language: str) -> str:
        """What the entry is called in a language."""

    def expand(self, text: str, language_of_index: str = "en") -> str:
        """The text plus the names of its terms in the language of the passages."""

    def is_about_farming(self, text: str) -> bool:
        """Whether a text names anything of farming."""


@dataclass(frozen=True, kw_only=True)
class Understood:
    """A question made independent of the conversation. Crops, problems and so on are glossary ids, in order."""

    text: str
    query: str
    intent: Intent
    language: str
    about_farming: bool
    personal: bool
    crops: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()


# The first pattern that matches decides.
_INTENTS: tuple[tuple[Intent, str], ...] = (
    (
        "amount",
        r"\bhow (?:much|many)\b|\b(?:dose|dosage|rate|rates|quantity|concentration)\b|\bml\b|\bkg (?:per|of)\b|多少|用量|剂量|几毫升|几公斤|浓度",
    ),
    (
        "prevent",
        r"\bprevent\w*|\bavoid\w*|\bprotect\w*|\bkeep\b.{0,40}\b(?:away|off|out|free|from)\b|\bstop\b.{0,40}\bfrom\b|\bbefore\b.{0,30}\b(?:starts?|appears?|comes?)\b|预防|避免|防止",
    ),
    (
        "when",
        r"^\s*when\b|\bwhen (?:should|do|does|can|is|to|will)\b|\b(?:what|which) (?:time|month|season|stage|weather)\b|\bhow (?:often|soon|early|late|long)\b|什么时候|何时|几月|多久",
    ),
    (
        "act",
        r"\bwhat (?:do|can|should|to|must|shall|would)\b(?! (?:you see|it look))|\bhow (?:do|can|should|to|would|could|must)\b|\b(?:control\w*|manag\w*|treat\w*|cure[sd]?|get rid|kill\w*|fight\w*|remedy|fix|stop|save|solution|help)\b|怎么办|怎么防|防治|怎么治|如何|治疗|控制|怎样",
    ),
    (
        "identify",
        r"\bwhat(?:'s| is| are| causes?| caused)\b|\bwhy\b|\bwhich (?:disease|pest|insect|bug|worm|problem)\b|\b(?:symptoms?|signs?|identify|recogni[sz]e|look like|tell|diagnos\w*|cause[sd]?)\b|是什么|什么病|什么虫|症状|为什么|怎么回事|原因",
    ),
)
_PERSONAL = regex.compile(r"\b(?:i|my|mine|we|our|i'm|i've)\b|我", regex.IGNORECASE)
_LINK = regex.compile(r"^\s*(?:(?:and|but|or|also|then|what about|how about|what if|same)\b|那|还有|如果)", regex.IGNORECASE)
_POINTING = regex.compile(r"\b(?:it|its|them|they|this|that|these|those|there)\b|它|这个|这种|那个", regex.IGNORECASE)
_HAN = regex.compile(r"\p{Han}")
_PROBLEM_KINDS = frozenset({"disease", "pest", "nutrient"})


def intent_of(text: str) -> Intent:
    """Return what kind of answer a question wants; "explain" where nothing tells."""
    for intent, pattern in _INTENTS:
        if regex.search(pattern, text, regex.IGNORECASE):
            return intent
    return "explain"


def language_of(text: str, stated: str | None = None) -> str:
    """Return the language to answer in: the stated one, Chinese for Han characters, else English."""
    return stated or ("zh" if _HAN.search(text) else "en")


def understand(question: Question, glossary: Glossary) -> Understood:
    """Read a question together with the one it follows and the details given beside it."""
    own = _read(question, glossary)
    if question.follows is None:
        return own
    return _in_context(own, understand(question.follows, glossary), glossary)


def _read(question: Question, glossary: Glossary) -> Understood:
    text = regex.sub(r"\s+", " ", question.text).strip()
    found: dict[str, list[str]] = {}
    for mention in glossary.find(text):
        kind = "problem" if mention.term.kind in _PROBLEM_KINDS else mention.term.kind
        if mention.term.id not in found.setdefault(kind, []):
            found[kind].append(mention.term.id)
    crops = found.get("crop", [])
    query = text
    if question.crop and not crops:
        crops = [mention.term.id for mention in glossary.find(question.crop, {"crop"})] or [question.crop.lower()]
        query = f"{text} {question.crop}"
    return Understood(
        text=text,
        query=query,
        intent=intent_of(text),
        language=language_of(text, question.language),
        about_farming=glossary.is_about_farming(query),
        personal=bool(_PERSONAL.search(text)),
        crops=tuple(crops),
        problems=tuple(found.get("problem", [])),
        signs=tuple(found.get("sign", [])),
        parts=tuple(found.get("part", [])),
        inputs=tuple(found.get("input", [])),
    )


def _in_context(own: Understood, before: Understood, glossary: Glossary) -> Understood:
    """Fill what a follow-up leaves out from the question before it; an independent question stays as it is."""
    leans = bool(_LINK.search(own.text) or _POINTING.search(own.text)) or len(own.text.split()) <= 4
    named = bool(own.problems or own.signs)
    if not leans and (own.crops or named):
        return own
    query = own.query
    if own.crops and not named:
        query = (
            _other_crop(before, own, glossary)
            if _crop_only(own, glossary)
            else f"{own.query} {_problem_names(before, glossary)}"
        )
    elif named and not own.crops:
        query = f"{own.query} {' '.join(glossary.name(crop, 'en') for crop in before.crops)}"
    elif not own.crops:
        query = f"{before.query} {own.query}"
    intent = before.intent if own.intent == "explain" else own.intent
    return Understood(
        text=own.text,
        query=query.strip(),
        intent=intent,
        language=own.language,
        about_farming=own.about_farming or before.about_farming,
        personal=own.personal or before.personal,
        crops=own.crops or before.crops,
        problems=own.problems or before.problems,
        signs=own.signs or before.signs,
        parts=own.parts or before.parts,
        inputs=own.inputs or before.inputs,
    )


def _crop_only(own: Understood, glossary: Glossary) -> bool:
    """Whether a follow-up says little more than a crop: "and for maize?", "tomato, the lower leaves"."""
    return own.intent == "explain" and len(own.text.split()) <= 8


def _other_crop(before: Understood, own: Understood, glossary: Glossary) -> str:
    """The question before with its crop exchanged, or the new crop added where it had none."""
    query = before.query
    for mention in reversed([mention for mention in glossary.find(query, {"crop"}) if mention.term.id in before.crops]):
        query = f"{query[: mention.start]}{query[mention.end :]}"
    return f"{query} {own.query}"


def _problem_names(before: Understood, glossary: Glossary) -> str:
    return " ".join(glossary.name(term, "en") for term in (*before.problems, *before.signs, *before.parts))
