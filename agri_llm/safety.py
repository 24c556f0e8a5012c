"""What a question must satisfy before we answer, and a sentence before a farmer sees it. Pure functions; when in doubt: no.

The rules, in the order in which `assistant.py` applies them:
  1. input      empty, too long, an emergency                               → `input_problem`
  2. details    the advice depends on something we were not told            → `missing_details`, `crops_disagree`
  3. evidence   the passages do not carry an answer                         → `evidence`, `dose_without_label`, `price_unknown`
  4. sentences  citation, quote, numbers with units, names, negation        → `check_sentence`
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import regex

from agri_llm import quantities, sentences
from agri_llm.content import content_words, stem, stems
from agri_llm.details import crops_disagree as crops_disagree
from agri_llm.details import missing_details as missing_details
from agri_llm.doses import INGREDIENT
from agri_llm.doses import dose_without_label as dose_without_label
from agri_llm.phrases import phrase
from agri_llm.poisoning import speaks_of_poisoning
from agri_llm.prices import price_unknown as price_unknown
from agri_llm.questions import MAX_CHARACTERS, Understood, length_in_words
from agri_llm.records import Hit, Intent, Passage

InputProblem = Literal["empty", "too_long", "poisoning"]
Reason = Literal["no citation", "no support", "number", "name", "negation"]

# Logistic regression on answerable and unanswerable questions, fitted and printed by benchmarks/evidence.py.
EVIDENCE_WEIGHTS = {"meaning": 6.4, "words": 4.1, "sentence": 6.8, "asks_amount": -2.5, "bias": -7.4}
# The same for passages in another language than English: meaning is compared by way of a translation of single words. Fitted on
# 142 Chinese questions with a sheet and 45 without; at the floor 133 of the first and 9 of the second are answered.
FOREIGN_EVIDENCE_WEIGHTS = {"meaning": 10.6, "words": 5.5, "sentence": 0.0, "asks_amount": 0.0, "bias": -5.3}
EVIDENCE_FLOOR = 0.65
# Sections of a sheet that name more than what the sheet is about.
_ASIDES = ("what you see", "what to do now", "prevention", "when to call", "识别要点", "防治措施", "预防措施", "何时请教")
# A written sentence rests on a passage when this share of its content words stands in one or two neighbouring sentences of it.
SUPPORT_FLOOR = 0.67

# 不同 and 不仅 deny nothing, 特别 and 未来 neither.
_NEGATION = regex.compile(
    r"\b(?:no|not|never|don't|cannot|can't|avoid|without|nor|neither|stop)\b"
    r"|不(?![同仅但久断良足论管])|勿|禁|避免|切忌|未(?!来)|没(?!收|过|顶)|无(?!论)|(?<![特区分辨识级类差个性])别(?!的)|莫"
    r"|停止",
    regex.IGNORECASE,
)
# Words whose exchange turns an advice into its opposite.
_OPPOSITES = (
    (r"before|until", r"after"),
    (r"above|over|exceeds?|more than|at least|minimum", r"below|under|fewer|less than|at most|maximum"),
    (r"increas\w+|rais\w+", r"decreas\w+|reduc\w+|lower(?:s|ed|ing)"),
    (r"wet|moist|rainy", r"dry"),
    (r"old|older|lower|bottom", r"young|younger|new|upper|top"),
    (r"susceptible", r"resistant|tolerant"),
    (r"(?<![目提])前", r"(?<![最然])后"),
    (r"以上|超过|高于|大于|至少|不低于|不少于", r"以下|低于|少于|小于|最多|不超过|不高于"),
    (r"增加|提高|增施|加大|多施", r"减少|降低|少施|减施"),
    (r"潮湿|湿润|雨天|雨后|多雨", r"干燥|干旱|晴天|少雨"),
    (r"老叶|下部|基部", r"嫩叶|新叶|上部|顶部|顶端"),
    (r"感病", r"抗病|耐病"),
    (r"早播|提早|提前|清晨|早晨", r"晚播|推迟|延迟|傍晚|中午"),
)
_UNIT_WORDS = frozenset(
    "l ml cc g kg mg t lb lbs oz ac ha acre acres hectare hectares litre litres liter liters gram grams cm mm m km per".split()
)
# A writer may promise nothing of this kind on its own.
_PROMISE = regex.compile(
    r"\b(?:safe|safely|harmless|non-?toxic|guarantee\w*|edible|drink)\b|安全|无毒"
    r"|无害",
    regex.IGNORECASE,
)
_LEADS = tuple(phrase(language, "lead_chemical") for language in ("en", "zh", "es", "fr", "pt", "hi", "sw", "ar"))
# Inside a sentence a name, often a brand: with a capital letter, or between Chinese quotation marks.
_CAPITALISED = regex.compile(
    r"(?<=[\p{Ll}\d,;]\s)\p{Lu}\p{Ll}[\p{L}-]+|(?<=[“「『])\p{Han}{2,8}(?=[”」』])|(?<=\p{Han})[A-Z][a-z]{3,}"
)
_MARKERS = regex.compile(r"\s*\[(\d{1,3}(?:\s*[,，]\s*\d{1,3})*)\]")

_DIGIT = regex.compile(r"\d")


def input_problem(text: str) -> InputProblem | None:
    """Return why a text cannot be taken as a question, or None."""
    if not text.strip():
        return "empty"
    if len(text) > MAX_CHARACTERS:
        return "too_long"
    return "poisoning" if speaks_of_poisoning(text) else None


def signs_unseen(question: Understood, seen: Collection[str]) -> bool:
    """Whether half or more of the signs a person describes stand in no passage: naming a disease then would be a guess.

    In other languages than English one sign is enough: the glossary gives each the nearest English one, so half may be a guess.
    """
    if not question.signs or question.problems or question.intent not in ("identify", "act", "amount"):
        return False
    found = len(set(question.signs) & set(seen))
    return 2 * found <= len(question.signs) if question.language == "en" else not found


def crop_unseen(question: Understood, hits: Sequence[Hit], named: Collection[str]) -> bool:
    """Whether signs on a crop are described, and no passage is on that crop, nor names it among the crops it is `named` for.

    What makes such signs on another plant says nothing about this one.
    """
    if not (question.crops and question.signs) or question.problems or question.intent not in ("identify", "act"):
        return False
    written_for = {crop for hit in hits for crop in hit.passage.crop}
    return not set(question.crops) & (written_for | set(named))


def problems_unseen(names: Sequence[str], texts: Sequence[str]) -> bool:
    """Whether none of the problems a question names, by their names, stands in any of the texts."""
    found = stems(" ".join(texts))
    return bool(names) and not any(stems(name) <= found for name in names)


def about(hits: Sequence[Hit]) -> list[str]:
    """Return what the passages found are about, as texts to look for a problem in.

    When the best one is of a sheet, that sheet alone counts, and of its steps and signs the title alone: those sections also
    name what only looks alike, or what a step helps against besides.
    """
    if not any(hit.passage.heading.lower().startswith(_ASIDES) for hit in hits[:1]):
        return [f"{hit.passage.title}. {hit.passage.text}" for hit in hits[:6]]
    sheet = [hit.passage for hit in hits if hit.passage.document_id == hits[0].passage.document_id]
    return [
        passage.title if passage.heading.lower().startswith(_ASIDES) else f"{passage.title}. {passage.text}"
        for passage in sheet
    ]


def evidence(hits: Sequence[Hit], intent: Intent = "explain") -> float:
    """Probability, 0–1, that the passages answer a question with this intent."""
    if not hits:
        return 0.0
    weights = EVIDENCE_WEIGHTS if hits[0].passage.language == "en" else FOREIGN_EVIDENCE_WEIGHTS
    total = weights["bias"] + sum(weights[name] * value for name, value in evidence_features(hits, intent).items())
    return 1 / (1 + math.exp(-total))


def evidence_features(hits: Sequence[Hit], intent: Intent = "explain") -> dict[str, float]:
    """What the decision to answer rests on, among the best passages.

    Nearness in meaning, share of the question's words, nearness of the best sentence; who asks how much needs a sentence with
    a number, and asks for something that passages often do not give.
    """
    asks_amount = intent == "amount"
    near = [
        cosine
        for hit in hits[: 5 if asks_amount else 3]
        for cosine, sentence in zip(hit.sentences, sentences.split(hit.passage.text), strict=False)
        if not asks_amount or _DIGIT.search(sentence.text)
    ]
    return {
        "meaning": max((hit.meaning for hit in hits[:3]), default=0.0),
        "words": max((hit.words for hit in hits[:3]), default=0.0),
        "sentence": max(near, default=0.0),
        "asks_amount": float(asks_amount),
    }


@dataclass(frozen=True, kw_only=True)
class Supported:
    """A sentence that may be shown, without its marks, and the words of each cited passage that it rests on."""

    text: str
    quotes: tuple[tuple[Passage, str], ...]


def check_sentence(
    sentence: str, passages: Sequence[Passage], names_in: Callable[[str], Collection[str]] | None = None
) -> Supported | Reason:
    """Check one written sentence whose marks [n] point into `passages` (1-based); return what may be shown, or why not.

    A mark whose passage does not carry the sentence is dropped; a sentence left without a mark is rejected. Every number
    must stand in a passage that the sentence itself cites, equal after conversion of units. `names_in` tells the crops,
    problems and inputs that a text names; a sentence may name none that its passage does not.
    """
    marks = [int(number) for group in _MARKERS.findall(sentence) for number in regex.split(r"\s*[,，]\s*", group)]
    text = _MARKERS.sub("", sentence).strip()
    said = next((text[len(lead) :] for lead in _LEADS if text.startswith(lead)), text).lstrip("-*• ").strip()
    cited = [passages[mark - 1] for mark in dict.fromkeys(marks) if 1 <= mark <= len(passages)]
    if not cited or not said:
        return "no citation"
    quotes = [(passage, quote) for passage in cited if (quote := supporting_quote(said, passage.text))]
    if not quotes or not all(any(word in quote.lower() for _, quote in quotes) for word in _PROMISE.findall(said.lower())):
        return "no support"
    quotes = [(passage, quote) for passage, quote in quotes if not opposed(said, quote)]
    if not quotes:
        return "negation"
    if not _numbers_supported(said, [quote for _, quote in quotes]):
        return "number"
    if not _names_supported(said, quotes, names_in):
        return "name"
    return Supported(text=text, quotes=tuple(quotes))


def opposed(claim: str, quote: str) -> bool:
    """Whether one says "not" and the other does not, or they differ by a word like "before" and "after"."""
    if claim in quote and not _NEGATION.search(quote):
        return False
    if bool(_NEGATION.search(claim)) != bool(_NEGATION.search(quote)):
        return True
    for pair in _OPPOSITES:
        in_claim, in_quote = ([bool(_word(side).search(text)) for side in pair] for text in (claim, quote))
        if any(in_claim[side] and not in_quote[side] and in_quote[1 - side] for side in (0, 1)):
            return True
    return False


@cache
def _word(pattern: str) -> regex.Pattern[str]:
    edge = "" if regex.search(r"\p{Han}", pattern) else r"\b"  # Chinese has none between its words
    return regex.compile(rf"{edge}(?:{pattern}){edge}", regex.IGNORECASE)


def supporting_quote(claim: str, passage_text: str) -> str | None:
    """Return the verbatim part of a passage that carries a claim: one sentence, or two neighbours; None when none does."""
    spans = sentences.split(passage_text)
    # numbers and units are compared by themselves
    words = [word for word in content_words(claim) if not (word[0].isdigit() or word in _UNIT_WORDS)]
    if length_in_words(" ".join(words)) < 2:
        return None  # a scrap stands in every passage
    for span in spans:
        if claim in span.text:
            return span.text
    wanted = {stem(word) for word in words}
    best, quote = 0.0, ""
    for width in (1, 2):
        for first in range(len(spans) - width + 1):
            piece = passage_text[spans[first].start : spans[first + width - 1].end]
            share = len(wanted & stems(piece)) / len(wanted)
            if share > best + 0.1 * (width - 1):
                best, quote = share, piece
    return quote if best >= SUPPORT_FLOOR else None


def _numbers_supported(claim: str, quotes: Sequence[str]) -> bool:
    claimed, known = quantities.find(claim), [quantities.find(quote) for quote in quotes]
    if not all(any(quantities.supported(quantity, found) for found in known) for quantity in claimed):
        return False
    return any(_same_order(claimed, found) for found in known) or len(known) > 1


def _same_order(claimed: Sequence[quantities.Quantity], known: Sequence[quantities.Quantity]) -> bool:
    """Whether quantities of one kind keep their order: "10 cm apart in rows of 50 cm" is not the other way round."""
    for kind in {quantity.kind for quantity in claimed}:
        rest = iter([quantity for quantity in known if quantity.kind == kind])
        distinct = {f"{one.low:.6g} {one.high:.6g}": one for one in claimed if one.kind == kind}
        if len(distinct) > 1 and not all(
            any(quantities.supported(one, [other]) for other in rest) for one in distinct.values()
        ):
            return False
    return True


def _names_supported(
    claim: str, quotes: Sequence[tuple[Passage, str]], names_in: Callable[[str], Collection[str]] | None
) -> bool:
    """Whether every active ingredient stands in the quote, every other name (crop, pest, brand) in the cited passage."""
    quoted = " ".join(quote for _, quote in quotes).lower()
    if not all(name.lower() in quoted for name in INGREDIENT.findall(claim)):
        return False
    around = "\n".join(f"{passage.title}\n{passage.heading}\n{passage.text}" for passage, _ in quotes)
    if claim in around:
        return True
    lower = around.lower()
    brands = all(name.lower() in lower for name in _CAPITALISED.findall(claim))
    return brands and (names_in is None or set(names_in(claim)) <= set(names_in(around)))
