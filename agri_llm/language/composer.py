"""The writer that needs no model: it picks sentences of the passages, orders them for what was asked, and cites each one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import regex

from agri_llm.content import stems
from agri_llm.language.brief import Brief
from agri_llm.phrases import phrase
from agri_llm.questions import language_of, length_in_words
from agri_llm.records import Hit, Intent
from agri_llm.sentences import split

# All measured on the agxqa development questions by benchmarks/answers.py; the figures are in docs/benchmarks.md.
RARITY_PASSAGES = 12  # in so many passages the rarity of a word is counted
WORDS_WEIGHT = 3.0  # of the share of the question's words in a sentence, beside its cosine
ENOUGH_WORDS = 40  # after these, weak sentences are left out
FULL_WORDS = 50  # after these, nothing is added
MOST_WORDS = 95  # never exceeded by an added sentence
WEAK = 0.6  # share of the best sentence's score below which a sentence is weak
RIVAL = 0.65  # a second passage and sentence this near the first add that sentence
FIRST_PASSAGES = 4  # among these the best one is chosen again,
SENTENCE_FIT = 0.5  # with this weight of its best sentence beside its score

OPENING = (0.3, 0.8)  # worth of being the first sentence of a section, and of the signs
LOOK_ALIKE = 0.85  # another sheet whose signs fit this nearly as well as the best is named too
SHEET_WORDS = 114  # most words of an answer built from the sections of a sheet
LEAD_WORDS = 6  # of the phrase that opens the chemical part

FEWEST_WORDS = 40  # an answer from a sheet is filled up to these

# What the headings of a sheet are for, in English and of its Chinese twin.
_ROLES = {
    "what you see": "sign",
    "what it is": "what",
    "why it matters": "why",
    "when it spreads": "when",
    "when it happens": "when",
    "when to do it": "when",
    "cultural": "cultural",
    "biological": "biological",
    "chemical": "chemical",
    "fertiliser": "cultural",
    "how to do it": "cultural",
    "how much": "amount",
    "prevention": "prevention",
    "mistakes to avoid": "prevention",
    "when to call an expert": "expert",
    "识别要点": "sign",
    "基本情况": "what",
    "为什么重要": "why",
    "发生规律": "when",
    "发生条件": "when",
    "什么时候做": "when",
    "农业防治": "cultural",
    "生物防治": "biological",
    "化学防治": "chemical",
    "施肥矫治": "cultural",
    "怎么做": "cultural",
    "用量与标准": "amount",
    "预防措施": "prevention",
    "常见错误": "prevention",
    "何时请教专家": "expert",
}
_OVERVIEWS = ("weeds, pests and diseases", "病虫草害管理")
# For each intent: which roles, with how many sentences of each, the most needed first.
_PLANS: dict[Intent, tuple[tuple[tuple[str, ...], int], ...]] = {
    "identify": ((("sign",), 1), (("what",), 1), (("sign",), 1), (("cultural",), 1), (("when", "why"), 1)),
    "act": ((("sign", "what"), 1), (("cultural",), 2), (("chemical",), 1), (("biological",), 1), (("cultural",), 1)),
    "when": ((("when",), 2), (("when", "sign", "cultural", "chemical"), 1), (("cultural", "prevention"), 1)),
    "amount": ((("amount",), 3), (("cultural", "amount", "when"), 2)),
    "prevent": ((("prevention",), 3), (("cultural",), 1), (("prevention",), 1)),
}
_FILLING = 3 * ((("sign", "what", "when", "amount", "prevention", "cultural"), 1),)
# People read what it is first and the chemical last (2009/128/EC, Annex III: the least hazardous measures first).
_READING_ORDER = ("sign", "what", "why", "when", "amount", "prevention", "cultural", "biological", "chemical", "expert", "")
_HAN = regex.compile(r"\p{Han}")
_LABEL = regex.compile(r"(?<![无没有])标签")
_STEPS = frozenset({"cultural", "biological", "prevention"})


@dataclass(frozen=True)
class _Candidate:
    """A sentence of a hit, how well it fits the question, and what its section is for."""

    hit: int
    position: int
    text: str
    score: float
    role: str

    @property
    def words(self) -> float:
        return length_in_words(self.text)


class Composer:
    """Writes answers out of the passages' own sentences; nothing to load, safe to share between threads."""

    name = "composer"
    adapter: str | None = None

    def stream(self, brief: Brief) -> Iterator[str]:
        """Yield one sentence at a time, each ending with the number of its passage; nothing when there are no passages."""
        candidates = _candidates(brief)
        if not any(one.hit < FIRST_PASSAGES for one in candidates):
            return
        plan = _PLANS.get(brief.intent)
        document = _best_document(brief.hits, brief.intent)
        best = max(candidates, key=lambda candidate: candidate.score)
        own = [one for one in candidates if brief.hits[one.hit].passage.document_id == document]
        if plan and ((best.role and brief.intent != "amount") or (own and _fits_plan(own, plan))):
            chosen = _by_sections(candidates, plan, brief, document=document)
            if brief.intent == "identify":
                close = _look_alikes(candidates, brief, document)
                chosen = close if sum(one.words for one in close) >= FEWEST_WORDS else chosen
            if chosen:
                yield from _sheet_text(chosen, language_of(brief.question.text, brief.question.language))
                return
        for candidate in _with_labels(_by_score(candidates, brief.hits), candidates, brief.hits):
            yield f"{candidate.text}[{candidate.hit + 1}]\n"


def _fits_plan(own: Sequence[_Candidate], plan: Sequence[tuple[tuple[str, ...], int]]) -> bool:
    """Whether a sheet has the first sections of a plan, and its best sentence stands in a section with a role."""
    best = max(own, key=lambda candidate: candidate.score)
    return bool(best.role) and any(one.role in plan[0][0] for one in own)


def _candidates(brief: Brief) -> list[_Candidate]:
    asked = stems(brief.query or brief.question.text)
    spans = [split(hit.passage.text) for hit in brief.hits]
    found = [[stems(span.text) for span in group] for group in spans]
    near = found[:RARITY_PASSAGES]
    frequency = Counter(word for group in near for words in group for word in words & asked)
    total = sum(len(group) for group in near)
    rarity = {word: math.log(1 + total / (1 + frequency[word])) for word in asked}
    whole = sum(rarity.values()) or 1.0
    candidates = []
    for number, hit in enumerate(brief.hits):
        cosines = hit.sentences or (hit.meaning,) * len(spans[number])
        for position, (span, words) in enumerate(zip(spans[number], found[number], strict=True)):
            share = sum(rarity[word] for word in words & asked) / whole
            cosine = cosines[position] if position < len(cosines) else 0.0
            score = cosine + WORDS_WEIGHT * share + (hit.score - brief.hits[0].score)
            text = " ".join(span.text.split())  # a hard-wrapped sentence is one line
            if _sayable(text) and not _is_heading(hit.passage.text, span.start):
                candidates.append(_Candidate(number, position, text, score, _role(hit)))
    return candidates


def _sayable(text: str) -> bool:
    """Whether a piece can stand in an answer: not a table row, a scrap or the announcement of a list."""
    whole = len(text.split()) >= 3 or len(_HAN.findall(text)) >= 4
    return whole and not text.startswith(("|", "<")) and not text.endswith((":", "："))


def _is_heading(text: str, start: int) -> bool:
    """Whether the sentence that begins here stands on a line marked as a heading."""
    return text[text.rfind("\n", 0, start) + 1 : start].lstrip().startswith("#")


def _best_document(hits: Sequence[Hit], intent: Intent) -> str:
    """The document whose two best passages fit best together; a sheet that only mentions a look-alike has just one.

    The overview of problems in a growing guide counts for nothing where one of them is asked about: each has a sheet.
    """
    about_problem = intent in ("act", "identify")
    scores: dict[str, list[float]] = {}
    for hit in hits:
        if not (about_problem and hit.passage.heading.lower() in _OVERVIEWS):
            scores.setdefault(hit.passage.document_id, []).append(hit.score)
    if not scores:
        return hits[0].passage.document_id
    return max(scores, key=lambda document: sum(sorted(scores[document])[-2:]))


def _role(hit: Hit) -> str:
    return _ROLES.get(hit.passage.heading.rsplit(" > ", 1)[-1].strip().lower(), "")


def _by_score(candidates: Sequence[_Candidate], hits: Sequence[Hit]) -> list[_Candidate]:
    """The best sentences of the passage that fits best as a whole and in one sentence; then the best of a near rival."""
    fits = _fits(candidates, hits)
    first, *others = sorted(fits, key=lambda number: -fits[number])
    ranked = sorted((one for one in candidates if one.hit == first), key=lambda one: -one.score)
    chosen: list[_Candidate] = []
    length = 0.0
    for candidate in ranked:
        if chosen and length + candidate.words > MOST_WORDS:
            continue
        if length >= FULL_WORDS or (length >= ENOUGH_WORDS and candidate.score < WEAK * ranked[0].score):
            break
        chosen.append(candidate)
        length += candidate.words
    chosen = _in_order(chosen)
    if others and fits[others[0]] > RIVAL * fits[first]:
        rival = max((one for one in candidates if one.hit == others[0]), key=lambda one: one.score)
        if rival.score - (fits[first] - fits[others[0]]) > RIVAL * ranked[0].score:
            chosen.append(rival)
    return chosen


def _fits(candidates: Sequence[_Candidate], hits: Sequence[Hit]) -> dict[int, float]:
    """How well each of the first passages fits, as a whole and by its best sentence; passages without a sentence are out."""
    best: dict[int, float] = {}
    for one in candidates:
        if one.hit < FIRST_PASSAGES:
            best[one.hit] = max(best.get(one.hit, 0.0), one.score)
    return {number: hits[number].score + SENTENCE_FIT * score for number, score in best.items()}


def _by_sections(
    candidates: Sequence[_Candidate], plan: Sequence[tuple[tuple[str, ...], int]], brief: Brief, *, document: str
) -> list[_Candidate]:
    """Sentences of one sheet, section by section as the plan says; a chemical one always brings its label sentence."""
    own = [one for one in candidates if brief.hits[one.hit].passage.document_id == document]
    chosen: list[_Candidate] = []
    for roles, wanted in (*plan, *_FILLING):
        if (roles, wanted) in _FILLING and sum(one.words for one in chosen) >= FEWEST_WORDS:
            break
        said = {one.text for one in chosen}
        rest = [one for one in own if one.role in roles and one.text not in said and not _is_label(one)]
        for candidate in _in_order(_best(rest, wanted)):
            label = _label_sentence(candidate, own)
            if candidate.role == "chemical" and not label:
                continue  # nothing about chemicals without the sentence that sends people to the label
            together = [candidate, *(one for one in label if one not in chosen)]
            lead = LEAD_WORDS if any(one.role == "chemical" for one in (*chosen, *together)) else 0
            if lead + sum(one.words for one in (*chosen, *together)) <= SHEET_WORDS:
                chosen.extend(one for one in together if one not in chosen)
    return sorted(chosen, key=lambda one: (_READING_ORDER.index(one.role), one.hit, one.position))


def _look_alikes(candidates: Sequence[_Candidate], brief: Brief, document: str) -> list[_Candidate]:
    """Where a description fits several sheets, what to see in each, so that nobody treats the wrong one; else nothing."""
    asked = stems(brief.query or brief.question.text)
    signs: dict[str, int] = {}
    for number, hit in enumerate(brief.hits):
        if _role(hit) == "sign":
            signs.setdefault(hit.passage.document_id, number)
    if document not in signs:
        return []
    title = brief.hits[signs[document]].passage.title
    if title.lower() in (brief.query or brief.question.text).lower() or 2 * len(stems(title) & asked) > len(asked):
        return []
    floor = LOOK_ALIKE * brief.hits[signs[document]].score
    close = [number for name, number in signs.items() if name != document and brief.hits[number].score >= floor]
    chosen = []
    for number in [signs[document], *close[:2]]:
        of_hit = [one for one in candidates if one.hit == number]
        chosen.extend(_in_order(_best(of_hit, 2 if number == signs[document] else 1)))
    if not close:
        return []
    experts = [one for one in candidates if one.role == "expert" and brief.hits[one.hit].passage.document_id == document]
    return [*chosen, *_best(experts, 1)]


def _best(candidates: Iterable[_Candidate], wanted: int) -> list[_Candidate]:
    """The best-fitting sentences; one that opens its section is put there because it matters most, above all in the signs."""
    return sorted(candidates, key=lambda one: -(one.score + (OPENING[one.role == "sign"] if one.position == 0 else 0)))[:wanted]


def _is_label(candidate: _Candidate) -> bool:
    return candidate.role == "chemical" and bool("label" in candidate.text.lower() or _LABEL.search(candidate.text))


def _label_sentence(candidate: _Candidate, own: Sequence[_Candidate]) -> list[_Candidate]:
    """The last sentence of a chemical section that sends the reader to the label (the label is binding)."""
    return [one for one in own if _is_label(one)][-1:] if candidate.role == "chemical" else []


def _with_labels(chosen: Sequence[_Candidate], candidates: Sequence[_Candidate], hits: Sequence[Hit]) -> list[_Candidate]:
    """The same sentences, each once, with the chemical ones last and only where the label sentence can follow."""
    kept = {one.text: one for one in chosen if one.role != "chemical"}
    for chemical in (one for one in chosen if one.role == "chemical"):
        document = hits[chemical.hit].passage.document_id
        own = [one for one in candidates if hits[one.hit].passage.document_id == document]
        kept |= {one.text: one for one in (chemical, *_label_sentence(chemical, own)) if _label_sentence(chemical, own)}
    return list(kept.values())


def _in_order(candidates: Iterable[_Candidate]) -> list[_Candidate]:
    return sorted(candidates, key=lambda one: (one.hit, one.position))


def _sheet_text(chosen: Sequence[_Candidate], language: str) -> Iterator[str]:
    """Write the lead as a paragraph, steps as bullets, the chemical part last and under its condition."""
    chemical = False
    for candidate in chosen:
        mark = "- " if candidate.role in _STEPS else ""
        if candidate.role == "chemical" and not chemical:
            mark, chemical = phrase(language, "lead_chemical"), True
        yield f"{mark}{candidate.text}[{candidate.hit + 1}]\n"
