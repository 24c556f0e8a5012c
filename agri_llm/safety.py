"""What a question must satisfy before we answer, and a sentence before a farmer sees it. Pure functions; when in doubt: no.

The rules, in the order in which `assistant.py` applies them:
  1. input      empty, too long, an emergency                               → `input_problem`
  2. details    the advice depends on something we were not told            → `missing_details`, `crops_disagree`
  3. evidence   the passages do not carry an answer                         → `evidence`, `dose_without_label`
  4. sentences  citation, quote, numbers with units, names, negation        → `check_sentence`
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import regex

from agri_llm import quantities, sentences
from agri_llm.content import content_words, stem, stems
from agri_llm.questions import MAX_CHARACTERS, Understood
from agri_llm.records import Hit, Passage

InputProblem = Literal["empty", "too_long", "poisoning"]
Reason = Literal["no citation", "no support", "number", "name", "negation"]

# Logistic regression on answerable and unanswerable questions, fitted and printed by benchmarks/evidence.py.
EVIDENCE_WEIGHTS = {"meaning": 9.0, "words": 6.0, "crop_match": 1.0, "bias": -7.0}
EVIDENCE_FLOOR = 0.5
# A written sentence rests on a passage when this share of its content words stands in one or two neighbouring sentences of it.
SUPPORT_FLOOR = 0.6

_POISONING = regex.compile(
    r"\b(?:swallow\w*|drank|drunk|ingest\w*|inhal\w*|breathed in|poison(?:ed|ing)|splash\w*[^.?!]{0,30}\beyes?)\b[^.?!]{0,80}"
    r"\b(?:spray\w*|pesticide\w*|chemical\w*|insecticide\w*|herbicide\w*|fungicide\w*|weedkiller|paraquat|rat poison|product)\b"
    r"|\b(?:spray\w*|pesticide\w*|chemical\w*|insecticide\w*|herbicide\w*|fungicide\w*|weedkiller|paraquat)\b[^.?!]{0,80}"
    r"\b(?:swallow\w*|drank|drunk|ingest\w*|vomit\w*|unconscious|dizzy|poisoned|in (?:my|his|her|their|the) eyes?)\b"
    r"|(?:误食|误服|喝了|中毒|溅到眼)[^。？！]{0,30}(?:农药|除草剂|杀虫剂|百草枯)|(?:农药|除草剂|杀虫剂|百草枯)[^。？！]{0,30}(?:中毒|误食|误服|喝了|进了眼)",
    regex.IGNORECASE,
)
_DOSE = regex.compile(
    r"\b(?:ml|millilit\w+|cc|grams?|gm|g|lit(?:re|er)s?|dose|dosage|rate|tank|knapsack|pump|sprayer|concentration|dilut\w+)\b"
    r"|\bhow (?:much|many)(?: of)?(?: the)? (?:spray|pesticide|insecticide|herbicide|fungicide|chemical|medicine|poison)"
    r"|毫升|克|剂量|稀释|倍液|农药|喷多少",
    regex.IGNORECASE,
)
_NOT_PESTICIDE = regex.compile(
    r"\b(?:water|irrigat\w*|lime|gypsum|compost|manure|dung|fertili[sz]ers?|urea|dap|npk|seeds?|moisture|mulch|potash|milk)\b"
    r"|水|石灰|堆肥|肥|种子",
    regex.IGNORECASE,
)
_DOSE_WORDS = frozenset(
    [
        "how",
        "many",
        "much",
        "what",
        "is",
        "the",
        "a",
        "an",
        "of",
        "per",
        "in",
        "to",
        "for",
        "on",
        "my",
        "our",
        "i",
        "we",
        "do",
        "should",
        "can",
        "need",
        "use",
        "apply",
        "put",
        "mix",
        "add",
        "spray",
        "sprayed",
        "spraying",
        "sprays",
        "dose",
        "dosage",
        "rate",
        "rates",
        "amount",
        "quantity",
        "concentration",
        "ml",
        "l",
        "litre",
        "litres",
        "liter",
        "liters",
        "gram",
        "grams",
        "g",
        "kg",
        "hectare",
        "ha",
        "acre",
        "acres",
        "tank",
        "tanks",
        "knapsack",
        "pump",
        "water",
        "pesticide",
        "insecticide",
        "herbicide",
        "fungicide",
        "product",
        "chemical",
        "medicine",
        "and",
        "with",
        "against",
        "when",
        "are",
        "does",
        "at",
        "it",
        "be",
        "required",
        "recommended",
        "right",
        "correct",
        "exact",
        "give",
        "please",
        "tell",
        "me",
        "one",
        "application",
        "dilute",
        "dilution",
        "times",
        "time",
    ]
)
# Endings of active ingredients: a written sentence may name one only when its passage does.
_INGREDIENT = regex.compile(
    r"\b\p{L}*(?:azole|strobin|thrin|phos|fop|oxanil|mectin|prid|pyrad|zeb|carb|uron|amide|anilide|conil|xamid|nil|sulfuron|quat|"
    r"phosate|fosate|thalonil|diamide|spinosad|spinetoram|sulphur|sulfur|copper|thiram|captan|metalaxyl|mefenoxam|neem|azadirachtin)\b",
    regex.IGNORECASE,
)
_NEGATION = regex.compile(
    r"\b(?:no|not|never|don't|cannot|can't|avoid|without|nor|neither|stop)\b|不|勿|禁止|避免", regex.IGNORECASE
)
_MARKERS = regex.compile(r"\s*\[(\d{1,3}(?:\s*[,，]\s*\d{1,3})*)\]")


def input_problem(text: str) -> InputProblem | None:
    """Return why a text cannot be taken as a question, or None."""
    if not text.strip():
        return "empty"
    if len(text) > MAX_CHARACTERS:
        return "too_long"
    return "poisoning" if _POISONING.search(text) else None


def missing_details(question: Understood) -> tuple[str, ...]:
    """Name the details without which the advice would be a guess: a symptom without a crop, a sick crop without a symptom."""
    wants_advice = question.intent in ("act", "identify", "amount", "explain")
    if not wants_advice or question.problems or not (question.personal and question.about_farming):
        return ()
    if question.signs and not question.crops:
        return ("crop", "part") if _pattern_unknown(question.text) else ("crop",)
    names_only_a_crop = question.crops and not (question.signs or question.inputs)
    if names_only_a_crop and regex.search(
        r"\b(?:sick|ill|problem|dying|unhealthy|bad|wrong)\b|病了|不好", question.text, regex.IGNORECASE
    ):
        return ("sign", "part")
    return ()


def _pattern_unknown(text: str) -> bool:
    return not regex.search(
        r"\b(?:old\w*|young\w*|new|upper|top|bottom|lower|tips?|edges?|margins?|veins?|between)\b|老|嫩|新|上部|下部", text
    )


def crops_disagree(question: Understood, hits: Sequence[Hit]) -> bool:
    """Whether the best passages speak of different crops while the asker of a personal question named none."""
    if question.crops or not question.personal or question.intent not in ("act", "amount"):
        return False
    best = [hit for hit in hits if hit.passage.crop and "any" not in hit.passage.crop and hit.score >= 0.9 * hits[0].score]
    return bool(best) and not set.intersection(*(set(hit.passage.crop) for hit in best))


def signs_unseen(question: Understood, seen: Collection[str]) -> bool:
    """Whether most of the signs a person describes stand in none of the passages: naming a disease then would be a guess."""
    if not question.signs or question.problems or question.intent not in ("identify", "act", "amount"):
        return False
    return 2 * len(set(question.signs) & set(seen)) < len(question.signs)


def evidence(question: Understood, hits: Sequence[Hit]) -> float:
    """Probability, 0–1, that the passages answer the question."""
    if not hits:
        return 0.0
    features = evidence_features(question, hits)
    total = EVIDENCE_WEIGHTS["bias"] + sum(EVIDENCE_WEIGHTS[name] * value for name, value in features.items())
    return 1 / (1 + math.exp(-total))


def evidence_features(question: Understood, hits: Sequence[Hit]) -> dict[str, float]:
    """What the decision to answer rests on: nearness in meaning, share of the question's words found, and the crop.

    `crop_match` is 1 when the best passages are about a crop that was asked for, -1 when they are about others, else 0.
    """
    top = hits[:3]
    match = 0.0
    if question.crops:
        known = [hit.passage for hit in top if hit.passage.crop]
        if known:
            about = any("any" in passage.crop or set(passage.crop) & set(question.crops) for passage in known)
            match = 1.0 if about else -1.0
    return {
        "meaning": max(hit.meaning for hit in top),
        "words": max(hit.words for hit in top),
        "crop_match": match,
    }


def dose_without_label(question: Understood, hits: Sequence[Hit]) -> bool:
    """Whether a pesticide amount is asked that no passage gives for this very product and crop (the label is binding)."""
    asks_dose = question.intent == "amount" and (_DOSE.search(question.text) or _INGREDIENT.search(question.text))
    if not asks_dose or (_NOT_PESTICIDE.search(question.text) and not _INGREDIENT.search(question.text)):
        return False
    named = {word for word in content_words(question.text) if word not in _DOSE_WORDS}
    return not any(_gives_dose(hit.passage, named) for hit in hits)


def _gives_dose(passage: Passage, named: Collection[str]) -> bool:
    text = f"{passage.title} {passage.heading} {passage.text}"
    present = stems(text)
    has_rate = any(
        " per " in quantity.kind or quantity.kind in ("volume", "mass") for quantity in quantities.find(passage.text)
    )
    return has_rate and all(stem(word) in present for word in named)


@dataclass(frozen=True, kw_only=True)
class Supported:
    """A sentence that may be shown, without its marks, and the words of each cited passage that it rests on."""

    text: str
    quotes: tuple[tuple[Passage, str], ...]


def check_sentence(sentence: str, passages: Sequence[Passage]) -> Supported | Reason:
    """Check one written sentence whose marks [n] point into `passages` (1-based); return what may be shown, or why not.

    A mark whose passage does not carry the sentence is dropped; a sentence left without a mark is rejected. Every number
    must stand in a passage that the sentence itself cites, equal after conversion of units.
    """
    marks = [int(number) for group in _MARKERS.findall(sentence) for number in regex.split(r"\s*[,，]\s*", group)]
    text = _MARKERS.sub("", sentence).strip()
    cited = [passages[mark - 1] for mark in dict.fromkeys(marks) if 1 <= mark <= len(passages)]
    if not cited or not text:
        return "no citation"
    quotes = [(passage, quote) for passage in cited if (quote := supporting_quote(text, passage.text))]
    if not quotes:
        return "no support"
    if not _numbers_supported(text, [quote for _, quote in quotes]):
        return "number"
    if not _names_supported(text, [quote for _, quote in quotes]):
        return "name"
    if all(bool(_NEGATION.search(text)) != bool(_NEGATION.search(quote)) for _, quote in quotes):
        return "negation"
    return Supported(text=text, quotes=tuple(quotes))


def supporting_quote(claim: str, passage_text: str) -> str | None:
    """Return the verbatim part of a passage that carries a claim: one sentence, or two neighbours; None when none does."""
    spans = sentences.split(passage_text)
    bare = claim.lstrip("-*• ").strip()
    for span in spans:
        if span.text in bare or bare in span.text:
            return span.text
    wanted = stems(bare)
    if not wanted or not spans:
        return None
    best, quote = 0.0, ""
    for width in (1, 2):
        for first in range(len(spans) - width + 1):
            piece = passage_text[spans[first].start : spans[first + width - 1].end]
            share = len(wanted & stems(piece)) / len(wanted)
            if share > best + 0.1 * (width - 1):
                best, quote = share, piece
    return quote if best >= SUPPORT_FLOOR else None


def _numbers_supported(claim: str, quotes: Sequence[str]) -> bool:
    known = [quantities.find(quote) for quote in quotes]
    return all(any(quantities.supported(quantity, found) for found in known) for quantity in quantities.find(claim))


def _names_supported(claim: str, quotes: Sequence[str]) -> bool:
    known = " ".join(quotes).lower()
    return all(name.lower() in known for name in _INGREDIENT.findall(claim))
