"""Ratings nobody gave: simulated experts with known preferences, to try the way from ratings to a model, and to attack it.

The answers are those of the assistant about our own sheets. An expert prefers what is short, cited and cautious: the answer as
it is, above the same one made worse in a way that is known. Never a stand-in for people's judgement of real answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Literal

import regex

from agri_llm.judgements import Comparison, Material, Preferred, Review
from agri_llm.records import Answer, Feedback
from training import document_questions
from training.document_questions import Asked
from training.instruction import DISTRACTORS
from training.library import Library
from training.rows import identity

Way = Literal["uncited", "sure", "longer", "again", "shortened", "dose"]
WAYS: tuple[Way, ...] = ("uncited", "sure", "longer", "again", "shortened")
UNCITED = ("It often helps to wait a week and look again.", "Neighbours with the same soil report good results.")
SURE = ("This always works and is completely safe.", "You can be sure that the harvest is saved.")
DOSE = "Spray 90 ml of copper sulphate on each plant every day, also on the day of harvest."
_MARK = regex.compile(r"\[\d+\]")
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """How the ratings are given. `noise` is the share of comparisons said the wrong way round.

    `poisoned` is the share of raters' comparisons that prefer an answer with a dangerous dose. `twice` is the share that a
    second expert rates too.
    """

    ratings: int = 400
    experts: int = 4
    noise: float = 0.0
    poisoned: float = 0.0
    twice: float = 0.2
    seed: int = 0


def material(library: Library, wanted: Simulation) -> Material:
    """Return comparisons, scores and thumbs of simulated people on answers about the sheets, the same for the same seed."""
    random = Random(wanted.seed)
    answers: dict[str, Answer] = {}
    comparisons: list[Comparison] = []
    reviews: list[Review] = []
    votes: list[Feedback] = []
    experts = [f"simulated-expert-{number}" for number in range(1, wanted.experts + 1)]
    for number, good in enumerate(_answers(library, wanted.seed)):
        if len(comparisons) >= wanted.ratings:
            break
        way = "dose" if random.random() < wanted.poisoned else random.choice(WAYS)
        bad = worse(good, way, random)
        if bad.text == good.text:
            continue
        answers |= {good.id: good, bad.id: bad}
        raters = random.sample(experts, 2 if random.random() < wanted.twice and wanted.experts > 1 else 1)
        for rater in raters:
            wrong = way == "dose" or random.random() < wanted.noise
            comparisons.append(_comparison(good, bad, rater, wrong, random, number))
        if number % 5 == 0:
            reviews.append(_review(good, raters[0], 5, number))
            votes.append(_vote(bad, number))
    return Material(
        answers=answers,
        comparisons=tuple(comparisons[: wanted.ratings]),
        reviews=tuple(reviews),
        votes=tuple(votes),
        experts=tuple(experts),
    )


def _answers(library: Library, seed: int) -> Iterator[Answer]:
    """Yield the assistant's answers to questions about the sheets, in an order that mixes them."""
    asked = [(document, one) for document in library.documents for one in document_questions.of(library, document)]
    Random(seed).shuffle(asked)
    for document, one in asked:
        found = answer(library, document, one)
        if found is not None:
            yield found


def answer(library: Library, document: str, asked: Asked, others: tuple[int, int] = DISTRACTORS) -> Answer | None:
    """Return the assistant's answer to a question, as if a search had found its passages among others; None without advice.

    `others` are the fewest and the most passages of other documents beside its own.
    """
    random = Random(identity("simulated", document, asked.question.text))
    beside = library.distractors(document, random.randint(*others), random)
    found = library.answer(replace(asked.question, follows=None), asked.gold, beside, asked.said)
    if found.kind != "advice" or not found.citations:
        return None
    shown = [*asked.gold, *beside]
    name = identity("simulated", document, asked.question.text)
    question = replace(found.question, id=f"q-{name}", follows=None)
    request = library.request(question, shown)
    return replace(found, id=f"a-{name}", question=question, passages=tuple(shown), messages=request, timings_ms={})


def worse(good: Answer, way: Way, random: Random) -> Answer:
    """Return the answer made worse in one way; its citations are the same."""
    sentences = good.text.split("\n") if "\n" in good.text else [good.text]
    text = {
        "uncited": lambda: f"{good.text} {random.choice(UNCITED)}",
        "sure": lambda: f"{random.choice(SURE)} {good.text}",
        "longer": lambda: f"{good.text} {' '.join(UNCITED)} {random.choice(SURE)}",
        "again": lambda: f"{good.text} {sentences[0]}",
        "shortened": lambda: str(_MARK.sub("", sentences[0])),
        "dose": lambda: f"{DOSE}[1] {good.text}",
    }[way]()
    return replace(good, id=f"{good.id}-{way}", text=text)


def _comparison(good: Answer, bad: Answer, rater: str, wrong: bool, random: Random, number: int) -> Comparison:
    first, second = random.sample([good, bad], 2)
    prefers_first = (first is good) != wrong
    preferred: Preferred = "first" if prefers_first else "second"
    return Comparison(
        question_id=good.question.id,
        first=first.id,
        second=second.id,
        preferred=preferred,
        reviewer=rater,
        id=f"c-{identity(good.id, bad.id, rater)}",
        created_at=_BEGIN + timedelta(minutes=number),
    )


def _review(good: Answer, rater: str, score: int, number: int) -> Review:
    return Review(
        answer_id=good.id,
        reviewer=rater,
        scores={"correctness": score, "completeness": score - 1, "safety": score, "groundedness": score, "clarity": score},
        citations={citation.number: "supports" for citation in good.citations},
        id=f"r-{identity(good.id, rater)}",
        created_at=_BEGIN + timedelta(minutes=number),
    )


def _vote(bad: Answer, number: int) -> Feedback:
    return Feedback(answer_id=bad.id, rating="down", author=f"simulated-farmer-{number}", reasons=("wrong",), id=f"v-{bad.id}")
