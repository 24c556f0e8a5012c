"""What a question asks: its intent, the crop and problem it names, and what "and for maize?" means after another question."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

import regex

from agri_llm.content import folded
from agri_llm.intents import WANTED, intent_of
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

    def translated(self, text: str, language: str = "en", *, measures: bool = False) -> str:
        """What the glossary can say of a text in another language, with words of measuring where they are asked for."""

    def is_about_farming(self, text: str) -> bool:
        """Whether a text names anything of farming."""


@dataclass(frozen=True, kw_only=True)
class Understood:
    """A question made independent of the conversation. Crops, problems and so on are glossary ids, in order.

    `query` is what to search for, `topic` the part of it that the next follow-up builds on. `products` are the words in the
    text that name a pesticide or what is in it; `english` is what the glossary can say of the text in English.
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
    products: tuple[str, ...] = ()
    english: str = ""
    topic: str = ""


# Who speaks of the own field, who links to the question before ("and for maize?"), who points at it ("how does it spread?").
_PERSONAL = r"\b(?:i|my|mine|we|our|i'm|i've)\b|我|咱|怎么办|咋办|咋整|怎么弄"
_LINK = r"^\s*(?:(?:and|but|or|also|then|what about|how about|what if|same)\b|那|还有|如果|换成|要是)|呢[？?。\s]*$"
_POINTING = r"\b(?:it|its|them|they|this|that|these|those|there)\b|它|这个|这种|那个|这[病虫药]|那[病虫药]"
_HABITS = {
    "en": (_PERSONAL, _LINK, _POINTING),
    "es": (
        r"\b(?:mis?|mio|nuestr\w+|tengo|hago)\b",
        r"^\W*(?:y|pero|o|tambien)\b",
        r"\bes[eo]s?\b|\besto\b|\best[ae] (?:plaga|enf)",
    ),
    "fr": (
        r"\b(?:mon|ma|mes|notre|nos|j'ai|je)\b",
        r"^\W*(?:et|mais|aussi)\b",
        r"\b(?:cela|ca)\b|\bcette (?:mal|pl)|\bces? (?:ins|rav)",
    ),
    "pt": (
        r"\b(?:meus?|minhas?|noss\w+|tenho)\b",
        r"^\W*(?:e|mas|ou|tambem)\b",
        r"\b(?:isso|isto|ess[ae]s?)\b|\best[ae] (?:praga|doenca)",
    ),
    "hi": (
        r"मेर[ाीे]|हमार[ाीे]|मैं|क्या करू",
        r"^\W*(?:और|लेकिन|या|तो)\s",
        r"(?:यह|इसे|इसका|इसकी|वह)\s",
    ),
    "sw": (
        r"\b(?:[ylzw]|ch|vy)(?:angu|etu)\b|\bni(?:na|me|fany|tumi|puliz|wek)\w*",
        r"^\W*(?:na|lakini|au|je,? na|vipi)\b",
        r"\b(?:hii|hizi|huu|hiyo)\b",
    ),
    "ar": (
        r"عندي|لدي|محصولي|حقلي|نباتاتي|مزرعتي|اوراقي|افعل|اعمل",
        r"^\W*(?:و(?!رق|باء)|لكن)",
        r"هذ[اه]|ذلك|تلك",
    ),
}
_SCRIPTS = {"zh": regex.compile(r"\p{Han}"), "hi": regex.compile(r"\p{Devanagari}"), "ar": regex.compile(r"\p{Arabic}")}
_HAN = _SCRIPTS["zh"]
_HAN_PER_WORD = 1.7  # Chinese characters that say what an English word does: 1.7 over the shipped sheets and their twins
# What is done against a problem or for a crop named before; "how do I make compost?" asks something of its own.
_MEANS = frozenset(
    "spraying irrigation fertilising pruning fertiliser pesticide insecticide fungicide herbicide acaricide seed".split()
)
PESTICIDES = frozenset(
    """active-ingredient pesticide insecticide fungicide herbicide acaricide nematicide rodenticide molluscicide bactericide
    biopesticide neem bacillus-thuringiensis trichoderma beauveria copper-fungicide sulphur-fungicide triazole strobilurin
    pyrethroid neonicotinoid organophosphate carbamate growth-regulator""".split()
)
# Who says what is seen speaks of water and days without asking for a number.
_MAY_ASK_NUMBER = frozenset({"amount", "when", "explain"})
_OWN_SHEETS = ("en", "zh")  # in these languages the words of the question themselves are compared with sheets
_UNITS = frozenset("kilogram hectare centimetre day-count month-count".split())  # "I have two hectares" asks for no number
PROBLEM_KINDS = frozenset({"disease", "pest", "nutrient"})
GENERIC_PROBLEMS = frozenset({"insect-pest"})  # "small black insects" describes, it does not name


@cache
def _habits(language: str) -> tuple[regex.Pattern[str], ...]:
    return tuple(regex.compile(folded(one), regex.IGNORECASE) for one in _HABITS.get(language, _HABITS["en"]))


def _is_personal(text: str, language: str) -> bool:
    return bool(_habits(language)[0].search(folded(text)))


def _leans(text: str, language: str) -> bool:
    """Whether a text says that it goes on from something: "and for maize?", "how does it spread?"."""
    return any(pattern.search(folded(text)) for pattern in _habits(language)[1:])


def length_in_words(text: str) -> float:
    """How long a text is, in words of English; Chinese characters count as the words that they would be."""
    han = len(_HAN.findall(text))
    return len(_HAN.sub(" ", text).split()) + han / _HAN_PER_WORD if han else float(len(text.split()))


def _intent(text: str, language: str, *, signs: bool, problems: bool, measured: bool) -> Intent:
    """As `intent_of`; who only says what is on the own crop wants to know what it is and what to do.

    Who names a measure and no problem ("which temperature is best?") does not ask what something is.
    """
    intent = intent_of(text, language)
    if measured and not problems and intent in ("identify", "explain"):
        return "explain"
    if intent != "explain":
        return intent
    if language != "en" and signs:  # people describe what they see, and say neither "my" nor "what is it"
        return "identify"
    if _is_personal(text, language):
        return "act" if problems else "identify" if signs else intent
    return intent


def language_of(text: str, stated: str | None = None) -> str:
    """Return the language to answer in: the stated one, else what the letters tell (Chinese, Hindi, Arabic), else English."""
    return stated or next((language for language, letters in _SCRIPTS.items() if letters.search(text)), "en")


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
    """Say a question in English as far as the glossary can, with a word for what it wants; "" where it knows nothing of it.

    A number of a crop asked for without a problem stands in the sheet on growing the crop, not where a problem is described.
    """
    may_ask = understood.intent in _MAY_ASK_NUMBER
    said, plain = (glossary.translated(understood.query, measures=measures) for measures in (may_ask, False))
    asks_number = understood.intent == "amount" or (understood.intent == "explain" and said != plain)
    if said and understood.crops and asks_number and not (understood.problems or understood.signs or understood.products):
        said = f"growing {said}"
    return f"{said} {WANTED[understood.intent]}".strip() if said else ""


def _read(question: Question, glossary: Glossary) -> Understood:
    text = regex.sub(r"\s+", " ", question.text).strip()
    language = language_of(text, question.language)
    found: dict[str, list[str]] = {}
    mentions = glossary.find(text)
    for mention in mentions:
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
    measured = language not in _OWN_SHEETS and not found.get("sign") and bool(set(found.get("measure", ())) - _UNITS)
    return Understood(
        text=text,
        query=query,
        intent=_intent(
            text,
            language,
            signs=bool(found.get("sign") or found.get("part")),
            problems=bool(found.get("problem")),
            measured=measured,
        ),
        language=language,
        about_farming=glossary.is_about_farming(query),
        personal=_is_personal(text, language),
        crops=tuple(crops),
        problems=tuple(found.get("problem", [])),
        signs=tuple(found.get("sign", [])),
        parts=tuple(found.get("part", [])),
        inputs=tuple(found.get("input", [])),
        products=tuple(text[one.start : one.end] for one in mentions if one.term.id in PESTICIDES),
        english=glossary.translated(text),
        topic=query,
    )


def _in_context(own: Understood, before: Understood, glossary: Glossary) -> Understood:
    """Fill what a follow-up leaves out from the question before it; an independent question stays as it is."""
    named = bool(own.problems or own.signs)
    leans = _leans(own.text, own.language) or _is_scrap(own, named=named)
    if own.crops and named:
        return replace(own, intent=before.intent) if leans and own.intent == "explain" else own
    things = {mention.term.id for mention in glossary.find(own.text, {"input", "practice"})}
    on_its_own = own.intent not in ("amount", "when") and things
    if own.language == "zh" and own.intent != "explain" and things - _MEANS and not _leans(own.text, own.language):
        leans = False  # 怎么堆肥 is short and whole
    if not leans and (own.crops or named or on_its_own):
        return own
    query, topic = f"{before.topic} {own.query}", before.topic
    if own.crops and not named and _crop_only(own):
        topic = f"{_without_crops(before.topic, before, glossary)} {_names(own.crops, glossary, own.language)}"
        query = f"{_without_crops(before.query, before, glossary)[:MAX_CHARACTERS]} {own.query}"
    elif own.crops and not named:
        query = topic = f"{own.query} {_names((*before.problems, *before.signs, *before.parts), glossary, own.language)}"
    elif named:
        query = topic = f"{own.query} {_names(before.crops, glossary, own.language)}"
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
        products=own.products,
        english=glossary.translated(query.strip()),
        topic=topic,
    )


def _is_scrap(own: Understood, *, named: bool) -> bool:
    """Whether a text is too short to stand alone, or only answers what we asked: "the old leaves of my rice"."""
    words = length_in_words(own.text)
    if words <= 4:
        return not (own.crops and (own.inputs or (own.language == "zh" and own.intent != "explain")))
    return words <= 8 and bool(own.crops) and not named and not own.inputs and intent_of(own.text, own.language) == "explain"


def _crop_only(own: Understood) -> bool:
    """Whether a follow-up says little more than a crop: "and for maize?", "tomato, the lower leaves"."""
    return intent_of(own.text, own.language) == "explain" and length_in_words(own.text) <= 8


def _without_crops(query: str, before: Understood, glossary: Glossary) -> str:
    """A question without the names of the crops it was about, to be asked for another crop."""
    for mention in reversed([one for one in glossary.find(query, {"crop"}) if one.term.id in before.crops]):
        query = f"{query[: mention.start]}{query[mention.end :]}"
    return " ".join(query.split())


def _names(terms: Collection[str], glossary: Glossary, language: str) -> str:
    return " ".join(glossary.name(term, language) for term in terms)
