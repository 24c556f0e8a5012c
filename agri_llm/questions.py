"""What a question asks: its intent, the crop and problem it names, and what "and for maize?" means after another question."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import regex

from agri_llm.phrases import phrase
from agri_llm.records import Answer, Intent, Question

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

    def crops(self, text: str) -> Sequence[str]:
        """Ids of the crops a text is about; one inside a problem's name ("rice blast") counts when none stands alone."""

    def name(self, term_id: str, language: str) -> str:
        """What the entry is called in a language."""

    def expand(self, text: str, language_of_index: str = "en") -> str:
        """The text plus the names of its terms in the language of the passages."""

    def translated(self, text: str, language: str = "en") -> str:
        """What the glossary can say of a text in another language."""

    def is_about_farming(self, text: str) -> bool:
        """Whether a text names anything of farming."""


@dataclass(frozen=True, kw_only=True)
class Understood:
    """A question made independent of the conversation. Crops, problems and so on are glossary ids, in order.

    `query` is what to search for, `topic` the part of it that the next follow-up builds on.
    """

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
    topic: str = ""


_KNOWING = r"(?:tell|know|recogni[sz]e|identify|distinguish|diagnose|find out)\b"
_MEANS = (
    r"(?:fungicide|pesticide|insecticide|herbicide|spray|product|chemical|medicine|treatment|fertili[sz]er|variety|method)s?"
)
_DOING = r"(?:use|spray|apply|plant|sow|grow|mix|put|add|harvest|treat|remove|cut|burn)"
# The first intent with a matching pattern decides.
_INTENTS: dict[Intent, tuple[str, ...]] = {
    "amount": (
        r"\bhow (?:much|many)\b",
        r"\b(?:dose|dosage|quantity|concentration|dilut\w+|spacing|ml)\b|\bkg (?:per|of)\b",
        r"\brates? (?:of|for|per|to)\b|\b(?:what|which|recommended|right|correct|spray|seed|seeding) (?:\w+ )?rates?\b",
        r"\bhow (?:deep|far|wide|close)\b|多少|用量|剂量|几毫升|几公斤|浓度",
    ),
    "prevent": (
        r"\b(?:prevent|avoid)\w*|\bprotect(?:s|ed|ing|ion)?\b",
        r"\bkeep\b.{0,40}\b(?:away|off|out|free|from)\b|\bstop\b.{0,40}\bfrom\b",
        r"\bbefore\b.{0,30}\b(?:starts?|appears?|comes?)\b",
        r"预防|避免|防止",
    ),
    "when": (
        r"^\s*when\b|\bwhen (?:should|do|does|can|is|to|will)\b",
        r"\b(?:what|which) (?:time|month|season|stage|weather)\b|\bhow (?:often|soon|early|late|long)\b",
        r"\b(?:right|best|good) time\b|\btoo (?:late|early)\b",
        r"什么时候|何时|几月|多久",
    ),
    "act": (
        r"\bwhat (?:do|can|should|to|must|shall|would)\b(?! (?:you see|it look))",
        rf"\bhow (?:do|can|should|to|would|could|must)\b(?!.{{0,12}}\b{_KNOWING})",
        rf"\b(?:(?:which|what)|what (?:is|are) (?:the )?(?:best|right)) {_MEANS}\b|\b(?:can|should|may) (?:i|we) {_DOING}\b",
        r"\b(?:control|manag|treat|kill|fight)\w*|\b(?:cure[sd]?|get rid|remedy|fix|stop|save|solution|help)\b",
        r"怎么办|怎么防|防治|怎么治|治疗|控制|(?:如何|怎样)(?!识别|判断|知道|辨别|区分)",
    ),
    "identify": (
        r"\bwhat(?:'s| is| are| causes?| caused)\b|\bwhy\b|\b(?:which|what) (?:disease|pest|insect|bug|worm|problem)\b",
        r"\b(?:symptoms?|signs?|identify|recogni[sz]e|look like|tell|know|diagnos\w*|cause[sd]?)\b",
        r"是什么|什么病|什么虫|症状|为什么|怎么回事|原因|知道|识别|判断|辨别|区分",
    ),
}
# What sections of documents that answer such questions are about.
_WANTED: dict[Intent, str] = {
    "identify": "symptoms", "act": "control", "when": "when", "amount": "how much", "prevent": "prevention", "explain": "",
}  # fmt: skip
_PERSONAL = regex.compile(r"\b(?:i|my|mine|we|our|i'm|i've)\b|我|怎么办|咋办", regex.IGNORECASE)
_LINK = regex.compile(r"^\s*(?:(?:and|but|or|also|then|what about|how about|what if|same)\b|那|还有|如果)", regex.IGNORECASE)
_POINTING = regex.compile(r"\b(?:it|its|them|they|this|that|these|those|there)\b|它|这个|这种|那个", regex.IGNORECASE)
_HAN = regex.compile(r"\p{Han}")
PROBLEM_KINDS = frozenset({"disease", "pest", "nutrient"})
GENERIC_PROBLEMS = frozenset({"insect-pest"})  # "small black insects" describes, it does not name


def intent_of(text: str) -> Intent:
    """Return what kind of answer a question wants; "explain" where nothing tells."""
    for intent, patterns in _INTENTS.items():
        if any(regex.search(pattern, text, regex.IGNORECASE) for pattern in patterns):
            return intent
    return "explain"


def _intent(text: str, *, signs: bool, problems: bool) -> Intent:
    """As `intent_of`; who only says what is on the own crop wants to know what it is and what to do."""
    intent = intent_of(text)
    if intent == "explain" and _PERSONAL.search(text):
        return "act" if problems else "identify" if signs else intent
    return intent


def language_of(text: str, stated: str | None = None) -> str:
    """Return the language to answer in: the stated one, Chinese for Han characters, else English."""
    return stated or ("zh" if _HAN.search(text) else "en")


def language_note(answer: Answer) -> str:
    """Say in the asker's language that the quoted passages are in another one; "" where they are not."""
    asked_in = language_of(answer.question.text, answer.question.language)
    spoken = {citation.passage.language for citation in answer.citations} - {asked_in}
    if not spoken:
        return ""
    names = [phrase(asked_in, f"in_{language}") if language in ("en", "zh") else language for language in sorted(spoken)]
    return phrase(asked_in, "other_language", spoken=", ".join(names))


def understand(question: Question, glossary: Glossary) -> Understood:
    """Read a question together with the one it follows and the details given beside it."""
    earlier = [question]
    while (before := earlier[-1].follows) is not None:
        earlier.append(before)
    understood = _read(earlier.pop(), glossary)
    while earlier:
        understood = _in_context(_read(earlier.pop(), glossary), understood, glossary)
    return understood


def in_english(understood: Understood, glossary: Glossary) -> str:
    """Say a question in English as far as the glossary can, with a word for what it wants; "" where it knows nothing of it."""
    said = glossary.translated(understood.query)
    return f"{said} {_WANTED[understood.intent]}".strip() if said else ""


def _read(question: Question, glossary: Glossary) -> Understood:
    text = regex.sub(r"\s+", " ", question.text).strip()
    found: dict[str, list[str]] = {}
    for mention in glossary.find(text):
        kind = (
            "problem" if mention.term.kind in PROBLEM_KINDS and mention.term.id not in GENERIC_PROBLEMS else mention.term.kind
        )
        if mention.term.id not in found.setdefault(kind, []):
            found[kind].append(mention.term.id)
    crops = glossary.crops(text)
    query = text
    if question.crop and not crops:
        crops = glossary.crops(question.crop) or [question.crop.lower()]
        query = f"{text} {question.crop}"
    return Understood(
        text=text,
        query=query,
        intent=_intent(text, signs=bool(found.get("sign") or found.get("part")), problems=bool(found.get("problem"))),
        language=language_of(text, question.language),
        about_farming=glossary.is_about_farming(query),
        personal=bool(_PERSONAL.search(text)),
        crops=tuple(crops),
        problems=tuple(found.get("problem", [])),
        signs=tuple(found.get("sign", [])),
        parts=tuple(found.get("part", [])),
        inputs=tuple(found.get("input", [])),
        topic=query,
    )


def _in_context(own: Understood, before: Understood, glossary: Glossary) -> Understood:
    """Fill what a follow-up leaves out from the question before it; an independent question stays as it is."""
    named = bool(own.problems or own.signs)
    leans = bool(_LINK.search(own.text) or _POINTING.search(own.text)) or _is_scrap(own, named=named)
    if own.crops and named:
        return replace(own, intent=before.intent) if leans and own.intent == "explain" else own
    on_its_own = own.intent not in ("amount", "when") and glossary.find(own.text, {"input", "practice"})
    if not leans and (own.crops or named or on_its_own):
        return own
    query, topic = f"{before.topic} {own.query}", before.topic
    if own.crops and not named and _crop_only(own):
        topic = f"{_without_crops(before.topic, before, glossary)} {_names(own.crops, glossary)}"
        query = f"{_without_crops(before.query, before, glossary)[:MAX_CHARACTERS]} {own.query}"
    elif own.crops and not named:
        query = topic = f"{own.query} {_names((*before.problems, *before.signs, *before.parts), glossary)}"
    elif named:
        query = topic = f"{own.query} {_names(before.crops, glossary)}"
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
        topic=topic,
    )


def _is_scrap(own: Understood, *, named: bool) -> bool:
    """Whether a text is too short to stand alone, or only answers what we asked: "the old leaves of my rice"."""
    words = len(own.text.split())
    if words <= 4:
        return not (own.crops and own.inputs)
    return words <= 8 and bool(own.crops) and not named and not own.inputs and intent_of(own.text) == "explain"


def _crop_only(own: Understood) -> bool:
    """Whether a follow-up says little more than a crop: "and for maize?", "tomato, the lower leaves"."""
    return intent_of(own.text) == "explain" and len(own.text.split()) <= 8


def _without_crops(query: str, before: Understood, glossary: Glossary) -> str:
    """A question without the names of the crops it was about, to be asked for another crop."""
    for mention in reversed([one for one in glossary.find(query, {"crop"}) if one.term.id in before.crops]):
        query = f"{query[: mention.start]}{query[mention.end :]}"
    return " ".join(query.split())


def _names(terms: Collection[str], glossary: Glossary) -> str:
    return " ".join(glossary.name(term, "en") for term in terms)
