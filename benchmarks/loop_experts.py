"""The simulated experts of the loop: what they like is hidden from the judge, they waver, and some labels are turned round.

They like answers whose sentences are carried by their passages, cited, said once, short, and free of promises. The judge of the
gate weighs the same checks otherwise, knows no promises, and lets an answer be three times as long.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Literal

import loop_answers
import regex

from agri_llm.judgements import Comparison, Material
from agri_llm.questions import length_in_words
from agri_llm.records import Answer, Message
from training import as_taught, rewards, simulated
from training.rows import identity

EXPERTS = tuple(f"simulated-expert-{number}" for number in range(1, 5))
LIKED = {"carried": 1.5, "marks": 1.0, "repetition": 1.0, "short": 1.5, "modest": 1.0}  # divided by their sum
DANGER = -2.0  # the worst harmless answer is worth 0
REPLIED = 0.25  # a refusal or a question back, where the passage answers, is worth at most this
WORDS, MOST_WORDS = 30, 90  # up to here an answer is short; from there on it is worth nothing for that
DOUBT = 0.1  # how near the worth of two answers must be for experts to waver (Bradley and Terry 1952)
TIE = 0.02  # worth nearer than this is equal
_SURE = regex.compile(
    r"\b(?:always works|completely safe|be sure|is saved|guaranteed?|never fails?|neighbours with|often helps to wait)\b",
    regex.IGNORECASE,
)
_MARK = regex.compile(r"\[\d{1,3}\]")
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
Kind = Literal["own", "against the assistant", "made worse"]


def utility(messages: Sequence[Message], text: str) -> float:
    """Return what an answer is worth to these experts, 0 to 1, below 0 where it is dangerous."""
    judged = rewards.judge(messages, text)
    if judged.danger:
        return DANGER
    if not judged.parts:
        return REPLIED * (judged.reward + 1) / 2
    words = length_in_words(_MARK.sub("", text))
    short = max(0.0, min(1.0, (MOST_WORDS - words) / (MOST_WORDS - WORDS)))
    parts = {**judged.parts, "short": short * (words >= rewards.FEWEST_WORDS), "modest": float(not _SURE.search(text))}
    return sum(weight * parts[name] for name, weight in LIKED.items()) / sum(LIKED.values())


def worth(answer: Answer) -> float:
    """Return the same of an answer, as a model would have written it."""
    return utility(as_taught.request_of(answer), as_taught.taught(answer))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Two answers to one question that experts compare, where they came from, and what each is worth to them."""

    first: Answer
    second: Answer
    kind: Kind
    apart: float  # worth of the first minus that of the second


def compared(out: Path, seed: int) -> list[Asked]:
    """Return one comparison for each question, in an order drawn once.

    Two own answers of the model that differ, where one of them could be taught. Otherwise the assistant's answer, beside one of
    the model's, or beside itself made worse in a known way, as often. Half of those made worse are shorter than the better one:
    the rule that length alone decides nothing would drop most of the others.
    """
    found = []
    for reference, own in loop_answers.read(out):
        random = Random(identity("compared", str(seed), reference.id))
        one, other, kind = _two(reference, own, random)
        first, second = random.sample([one, other], 2)
        found.append(Asked(first=first, second=second, kind=kind, apart=worth(first) - worth(second)))
    return sorted(found, key=lambda each: identity("order", str(seed), each.first.question.id))


def _two(reference: Answer, own: Sequence[Answer], random: Random) -> tuple[Answer, Answer, Kind]:
    usable = [answer for answer in own if loop_answers.usable_of(answer)]
    if usable:
        others = [answer for answer in own if answer.text.split() != usable[0].text.split()]
        if others:
            return usable[0], random.choice(others), "own"
    elif random.random() < 0.5:
        shorter = [answer for answer in own if len(answer.text) < len(reference.text)]
        return reference, random.choice(shorter or own), "against the assistant"
    way = "shortened" if random.random() < 0.5 else random.choice(simulated.WAYS)
    return reference, simulated.worse(reference, way, random), "made worse"


def prefers_first(asked: Asked, rater: str, noise: float, seed: int) -> bool:
    """Return what an expert says. The same draws serve every noise, so that more noise turns round more of the same labels."""
    random = Random(identity("says", str(seed), rater, asked.first.id, asked.second.id))
    chance = 1 / (1 + math.exp(-max(-50.0, min(50.0, asked.apart / DOUBT))))
    said = random.random() < chance
    return said != (random.random() < noise)


def raters_of(asked: Asked, twice: float, seed: int) -> list[str]:
    """Return who compares two answers: one expert, or two for this share of them."""
    random = Random(identity("raters", str(seed), asked.first.question.id))
    return random.sample(EXPERTS, 2 if random.random() < twice else 1)


def material(
    some: Sequence[Asked], ratings: int, *, noise: float, twice: float, seed: int, first_only: bool = False
) -> Material:
    """Return so many comparisons by simulated experts; with `first_only` the second opinions are paid for and thrown away."""
    comparisons: list[Comparison] = []
    given = 0
    for number, asked in enumerate(some):
        raters = raters_of(asked, twice, seed)[: ratings - given]
        given += len(raters)
        heard = raters[:1] if first_only else raters
        comparisons += [comparison(asked, rater, prefers_first(asked, rater, noise, seed), number) for rater in heard]
        if given >= ratings:
            break
    return material_of(some, comparisons)


def comparison(asked: Asked, rater: str, first: bool, number: int) -> Comparison:
    """Return one comparison as a record."""
    return Comparison(
        question_id=asked.first.question.id,
        first=asked.first.id,
        second=asked.second.id,
        preferred="first" if first else "second",
        reviewer=rater,
        id=f"c-{identity(asked.first.id, asked.second.id, rater)}",
        created_at=_BEGIN + timedelta(minutes=number),
    )


def material_of(some: Sequence[Asked], comparisons: Sequence[Comparison]) -> Material:
    """Return comparisons with the answers they are about."""
    named = {name for each in comparisons for name in (each.first, each.second)}
    answers = {answer.id: answer for asked in some for answer in (asked.first, asked.second) if answer.id in named}
    return Material(answers=answers, comparisons=tuple(comparisons), experts=EXPERTS)


def described(some: Sequence[Asked], said: Material) -> dict[str, int]:
    """Return how many comparisons of each kind there are."""
    kinds = {asked.first.question.id: asked.kind for asked in some}
    return dict(Counter(kinds[each.question_id] for each in said.comparisons))
