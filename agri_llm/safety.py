"""What a question must satisfy before we answer, and a sentence before a farmer sees it. Pure functions; when in doubt: no.

The rules, in the order in which `assistant.py` applies them:
  1. input      empty, too long, an emergency                               → `input_problem`
  2. details    the advice depends on something we were not told            → `missing_details`, `crops_disagree`
  3. evidence   the passages do not carry an answer                         → `evidence`, `dose_without_label`
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
from agri_llm.phrases import phrase
from agri_llm.questions import MAX_CHARACTERS, Understood
from agri_llm.records import Hit, Passage

InputProblem = Literal["empty", "too_long", "poisoning"]
Reason = Literal["no citation", "no support", "number", "name", "negation"]

# Logistic regression on answerable and unanswerable questions, fitted and printed by benchmarks/evidence.py.
EVIDENCE_WEIGHTS = {"meaning": 9.5, "words": 8.1, "bias": -6.2}
EVIDENCE_FLOOR = 0.65
# Sections of a sheet that name more than what the sheet is about.
_ASIDES = ("what you see", "what to do now", "prevention", "when to call")
# A written sentence rests on a passage when this share of its content words stands in one or two neighbouring sentences of it.
SUPPORT_FLOOR = 0.67

_POISON = (
    r"(?:(?:pest|insect|herb|fung)icides?|(?:agro-?)?chemicals?|weed ?killer|(?:rat )?poison|paraquat|glyphosate|roundup"
    r"|gramoxone|ddvp|dichlorvos|organophosphates?|slug pellets|(?:the|some|my) spray\b(?!er))"
)
_PERSON = r"\b(?:i|he|she|we|they|my (?!crop|plant|field|leaves)\w+|someone|child|worker|neighbour|baby)\b"
_POISONING = regex.compile(
    rf"\b(?:swallow|ingest)\w*\b[^.?!]{{0,30}}\b{_POISON}|\b(?:drank|drunk|ate|eaten|lick\w*|took)\b[^.?!,]{{0,15}}\b{_POISON}"
    rf"|\b(?:drank|drunk) from the (?:spray|tank)|\b(?:inhal\w*|breathed in)\b[^.?!]{{0,40}}\b{_POISON}"
    rf"|\b{_POISON}[^.?!]{{0,80}}\b(?:swallowed (?:it|some|by)|ingested)\b"
    rf"|\b(?:{_POISON}|spray\w*)\b[^.?!]{{0,80}}\b(?:vomit\w*|unconscious|dizz\w+|nause\w+|faint(?:ed|ing|s)?|convuls\w*)\b"
    rf"|\b(?:vomit\w*|unconscious|dizz\w+|nause\w+|faint(?:ed|ing|s)?|convuls\w*)\b[^.?!]{{0,80}}\b(?:{_POISON}|spray\w*)"
    rf"|{_PERSON}[^.?!,]{{0,20}}\b(?:collapsed|feels? sick|can(?:no|')t breathe)\b[^.?!]{{0,60}}\b(?:{_POISON}|spray\w*)"
    rf"|{_PERSON}[^.?!,]{{0,20}}\bpoisoned\b(?! (?:rats?|mice|bait|weeds?))|\b{_POISON}[\s-]poisoning\b"
    rf"|\bpoisoning\b[^.?!]{{0,40}}\b{_POISON}|{_PERSON}[^.?!]{{0,40}}\bpoisoning\b"
    rf"|\b(?:{_POISON}|spray\w*|product)\b[^.?!]{{0,60}}\bin(?:to|side)? (?:my|his|her|their|our|the) (?:eyes?|mouth)\b"
    rf"|\bgot\b[^.?!]{{0,30}}\b(?:in|into|on) (?:my|his|her|their) (?:eyes?|skin|face|mouth)\b"
    rf"|\b(?:skin|hands?|face|eyes?)\b[^.?!]{{0,20}}\b(?:burn|sting|itch)\w*[^.?!]{{0,40}}\b(?:{_POISON}|spray\w*)"
    r"|\bkill(?:ing)? (?:my|him|her)self\b|\bsuicid|\bend my life\b|自杀|轻生|不想活"
    r"|(?:误食|误服|喝了|吞了|吃了|中毒)[^。？！]{0,20}(?:农药|除草剂|杀虫剂|百草枯|敌敌畏|草甘膦|老鼠药)"
    r"|(?:农药|除草剂|杀虫剂|百草枯|敌敌畏|草甘膦|老鼠药)[^。？！]{0,20}(?:中毒|误食|误服|喝了|吃了|(?:进|溅)[^。？！]{0,3}(?:眼|嘴))"
    r"|(?:打|喷)[^。？！，]{0,3}药[^。？！]{0,10}(?:头晕|恶心|呕吐|昏|抽搐)",
    regex.IGNORECASE,
)
_PESTICIDE = r"(?:spray|(?:pest|insect|herb|fung)icide|chemical|medicine|poison|weed ?killer)"
_DOSE = regex.compile(
    r"\b(?:ml|millilit\w+|cc|grams?|gm|g|lit(?:re|er)s?|dose|dosage|dilut\w+)\b"
    r"|\b(?:per|an?|each|lit(?:re|er)|l)[ -](?:\w+ )?(?:tank|knapsack|pump|sprayer)\b|\b(?:rate|concentration) (?:of|for)\b"
    rf"|\bhow (?:much|many)(?: (?:of|the|this|my|bottles?|caps?|cups?|spoons?|sachets?|bags?|packets?))* {_PESTICIDE}"
    r"|\bhow much\b(?! (?:does|do|is|are)\b).{1,40}\b(?:per|an?) (?:hectare|acre|ha|bag)\b"
    r"|毫升|克|剂量|稀释|倍液|农药|喷多少",
    regex.IGNORECASE,
)
_NOT_PESTICIDE = regex.compile(
    r"\b(?:water|irrigat\w*|lime|gypsum|compost|manure|dung|fertili[sz]ers?|urea|dap|npk|seeds?|moisture|mulch|potash|milk|nitrogen"
    r"|phosph(?:orus|ate)|potassium|zinc|boron|yields?|feed|costs?|prices?|hold)\b"
    r"|水|石灰|堆肥|肥|种子",
    regex.IGNORECASE,
)
_DOSE_WORDS = frozenset(
    (
        "how many much what is the a an of per in to for on my our i we do should can need use apply put mix add spray "
        "sprayed spraying sprays dose dosage rate rates amount quantity concentration ml l litre litres liter liters "
        "gram grams g kg hectare ha acre acres tank tanks knapsack pump water pesticide insecticide herbicide fungicide "
        "product chemical medicine and with against when are does at it be required recommended right correct exact give "
        "please tell me one application dilute dilution times time"
    ).split()
)
_COST = regex.compile(r"\b(?:costs?|prices?|pay|hold)\b|价格|多少钱", regex.IGNORECASE)
# The water that a product is mixed with does not make the question one about water.
_MIXING_WATER = regex.compile(
    r"\b(?:per|in|into|to|with|a|each)(?: \d+)?(?: \p{L}+)?(?: of)? water\b|[桶升]水|兑水", regex.IGNORECASE
)
# Endings of active ingredients: a written sentence may name one only when its passage does.
_INGREDIENT = regex.compile(
    r"\b\p{L}*(?:azole|strobin|thrin|fos|phos|thion|thoate|fop|oxanil|mectin|prid|pyrad|zeb|neb|carb|uron|amide|anilide|conil|"
    r"xamid|nil|sulfuron|quat|phosate|fosate|thalonil|diamide|spinosad|spinetoram|sulphur|sulfur|copper|thiram|captan|metalaxyl|"
    r"mefenoxam|benzoate|dazim|(?<!mag)azine|buzin|zinam|fenapyr|ozide|fezin|dichlorvos|neem|azadirachtin|"
    r"bacillus|trichoderma|beauveria|metarhizium)\b|\b2,4-DB?\b|\b(?:MCPA|DDT|DDVP)\b"
    r"|吡虫啉|啶虫脒|噻虫嗪|\p{Han}氰菊酯|代森锰锌|百菌清|多菌灵|甲霜灵|嘧菌酯|三环唑|草甘膦|百草枯|敌敌畏|毒死蜱|阿维菌素|甲维盐|波尔多液",
    regex.IGNORECASE,
)
_NEGATION = regex.compile(
    r"\b(?:no|not|never|don't|cannot|can't|avoid|without|nor|neither|stop)\b|不|勿|禁止|避免", regex.IGNORECASE
)
_SICK = regex.compile(r"\b(?:sick|ill|problems?|dying|unhealthy|bad|wrong)\b|病了|不好", regex.IGNORECASE)
_PLANT = regex.compile(r"\b(?:plants?|crops?|field|garden|trees?|seedlings?)\b|庄稼|植株|作物", regex.IGNORECASE)
# Words whose exchange turns an advice into its opposite.
_OPPOSITES = (
    (r"before|until", r"after"),
    (r"above|over|exceeds?|more than|at least|minimum", r"below|under|fewer|less than|at most|maximum"),
    (r"increas\w+|rais\w+", r"decreas\w+|reduc\w+|lower(?:s|ed|ing)"),
    (r"wet|moist|rainy", r"dry"),
    (r"old|older|lower|bottom", r"young|younger|new|upper|top"),
    (r"susceptible", r"resistant|tolerant"),
)
_UNIT_WORDS = frozenset(
    "l ml cc g kg mg t lb lbs oz ac ha acre acres hectare hectares litre litres liter liters gram grams cm mm m km per".split()
)
# A writer may promise nothing of this kind on its own.
_PROMISE = regex.compile(r"\b(?:safe|safely|harmless|non-?toxic|guarantee\w*|edible|drink)\b|安全|无毒|无害", regex.IGNORECASE)
_LEADS = tuple(phrase(language, "lead_chemical") for language in ("en", "zh"))
_CAPITALISED = regex.compile(r"(?<=[\p{Ll}\d,;]\s)\p{Lu}\p{Ll}[\p{L}-]+")  # inside a sentence: a name, often a brand
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
    if question.signs and not question.crops and (question.parts or not question.inputs):
        return ("crop", "part") if _pattern_unknown(question.text) else ("crop",)
    says_nothing_else = not (question.signs or question.inputs) and question.intent != "amount" and _SICK.search(question.text)
    if says_nothing_else and question.crops:
        return ("sign", "part")
    return ("crop", "sign") if says_nothing_else and _PLANT.search(question.text) else ()


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
    """Whether half or more of the signs a person describes stand in no passage: naming a disease then would be a guess."""
    if not question.signs or question.problems or question.intent not in ("identify", "act", "amount"):
        return False
    return 2 * len(set(question.signs) & set(seen)) <= len(question.signs)


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


def evidence(hits: Sequence[Hit]) -> float:
    """Probability, 0–1, that the passages answer the question."""
    if not hits:
        return 0.0
    features = evidence_features(hits)
    total = EVIDENCE_WEIGHTS["bias"] + sum(EVIDENCE_WEIGHTS[name] * value for name, value in features.items())
    return 1 / (1 + math.exp(-total))


def evidence_features(hits: Sequence[Hit]) -> dict[str, float]:
    """What the decision to answer rests on: nearness in meaning and share of the question's words among the best passages."""
    return {"meaning": max(hit.meaning for hit in hits[:3]), "words": max(hit.words for hit in hits[:3])}


def dose_without_label(question: Understood, hits: Sequence[Hit]) -> bool:
    """Whether a pesticide amount is asked that no passage gives for this very product and crop (the label is binding)."""
    text = question.text
    product = _INGREDIENT.findall(text)
    if question.intent != "amount" or _COST.search(text) or not (product or _DOSE.search(text)):
        return False
    if _NOT_PESTICIDE.search(_MIXING_WATER.sub(" ", text)) and not (
        product or regex.search(rf"\b{_PESTICIDE}\b", text, regex.IGNORECASE)
    ):
        return False
    named = {word for word in content_words(question.text) if word not in _DOSE_WORDS and not word.isdecimal()}
    field = stems(" ".join((*question.crops, *question.problems)).replace("-", " "))
    products = ({stem(word) for word in named} - field) | {stem(name.lower()) for name in product}
    return not any(_gives_dose(hit.passage, named, products) for hit in hits)


def _gives_dose(passage: Passage, named: Collection[str], products: set[str]) -> bool:
    """Whether a passage speaks of all that was named, and one sentence of it has a rate of that product, or of any."""
    present = stems(f"{passage.title} {passage.heading} {passage.text}")
    if not all(stem(word) in present for word in named):
        return False
    with_rate = [span.text for span in sentences.split(passage.text) if _has_rate(span.text)]
    return any(products & stems(text) if products else _INGREDIENT.search(text) for text in with_rate)


def _has_rate(text: str) -> bool:
    return any(" per " in one.kind or one.kind.split()[0] in ("volume", "mass") for one in quantities.find(text))


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
    quotes = [(passage, quote) for passage, quote in quotes if not _opposed(said, quote)]
    if not quotes:
        return "negation"
    if not _numbers_supported(said, [quote for _, quote in quotes]):
        return "number"
    if not _names_supported(said, quotes, names_in):
        return "name"
    return Supported(text=text, quotes=tuple(quotes))


def _opposed(claim: str, quote: str) -> bool:
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
    return regex.compile(rf"\b(?:{pattern})\b", regex.IGNORECASE)


def supporting_quote(claim: str, passage_text: str) -> str | None:
    """Return the verbatim part of a passage that carries a claim: one sentence, or two neighbours; None when none does."""
    spans = sentences.split(passage_text)
    # numbers and units are compared by themselves
    words = [word for word in content_words(claim) if not (word[0].isdigit() or word in _UNIT_WORDS)]
    if len(words) < 2:
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
    if not all(name.lower() in quoted for name in _INGREDIENT.findall(claim)):
        return False
    around = "\n".join(f"{passage.title}\n{passage.heading}\n{passage.text}" for passage, _ in quotes)
    if claim in around:
        return True
    lower = around.lower()
    brands = all(name.lower() in lower for name in _CAPITALISED.findall(claim))
    return brands and (names_in is None or set(names_in(claim)) <= set(names_in(around)))
