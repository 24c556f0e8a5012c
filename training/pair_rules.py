"""What people said → what a model may learn from it: a better answer above a worse one, an answer good or bad, and more.

a correction by an expert            the correction above what was shown, and a chat to learn
a farmer's, once an expert took it   the same
one of two answers preferred         that one above the other
both good, both bad                  two good, two bad answers: no winner is made up
scores of answers to one question    the better above the worse, where they are apart by a margin
thumbs, "it worked", "it failed"     one answer, good or bad; an expert's word on the same answer outranks it
a citation verified or rejected      question and passage, which search may learn from
an answer that somebody signed       a chat to learn
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, groupby
from statistics import fmean
from typing import Literal

from agri_llm.judgements import CRITERIA, Material, Review
from agri_llm.records import Answer, Message
from training import as_taught

Source = Literal["correction", "comparison", "scores", "thumb", "outcome", "both", "signed"]
ACCEPTED = ("approved", "edited")
BAD_MEAN, GOOD_MEAN, WORST = (
    2.5,
    4.0,
    2,
)  # of an expert's scores: below is bad, from there on good; a single 1 or 2 is never good


@dataclass(frozen=True, kw_only=True)
class Draft:
    """Something to learn before it is cleaned. `rejected` is "" where there is one answer alone, and `good` says what of it.

    `raters` are keys of people, `ids` those of what they said, `answers` those of the answers it is about. `problem` says why
    the better text may not be taught; raters who prefer it are still heard where others prefer the other one.
    """

    source: Source
    group: str
    language: str
    messages: tuple[Message, ...]
    chosen: str
    rejected: str = ""
    good: bool = True
    weight: float = 1.0
    margin: float = 0.0
    expert: bool = True
    raters: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    problem: str = ""
    cited: tuple[str, ...] = ()  # passages that the answer cites


@dataclass(kw_only=True)
class Drafts:
    """All drafts of one material; `returned` are corrections that may not be taught, with their reason."""

    pairs: list[Draft] = field(default_factory=list)
    single: list[Draft] = field(default_factory=list)
    chats: list[Draft] = field(default_factory=list)
    retrieval: list[dict[str, object]] = field(default_factory=list)
    returned: list[dict[str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def drafts(material: Material, margin: float) -> Drafts:
    """Return everything that the material teaches; `margin` is by how much mean scores (1–5) of two answers must differ."""
    found = Drafts()
    _corrections(material, found)
    _comparisons(material, found)
    _scores(material, margin, found)
    _votes(material, found)
    _citations(material, found)
    for signed in material.signed:
        if signed.withdrawn_at:
            found.counts["signed answers that were withdrawn"] += 1
            continue
        answer = signed.answer
        _teach(answer, as_taught.taught(answer), "signed", signed.signer, signed.id, found)
    return found


def _corrections(material: Material, found: Drafts) -> None:
    said: list[tuple[str, str, str, str]] = [
        (review.answer_id, review.correction, review.reviewer, review.id)
        for review in material.reviews
        if review.correction.strip()
    ]
    for vote in material.votes:
        if vote.correction.strip():
            found.counts["corrections by farmers that no expert took"] += vote.status not in ACCEPTED
            if vote.status in ACCEPTED:
                said.append((vote.answer_id, vote.correction, vote.reviewer or vote.author, vote.id))
    for answer_id, text, rater, its_id in said:
        answer = material.answers[answer_id]
        better = as_taught.taught(answer, text)
        if _teach(answer, better, "correction", rater, its_id, found):
            found.pairs.append(_draft(answer, "correction", better, as_taught.taught(answer), rater, its_id))


def _teach(answer: Answer, text: str, source: Source, rater: str, its_id: str, found: Drafts) -> bool:
    """Add a chat to learn unless the check finds something in it; then it goes back to whoever wrote it."""
    if not as_taught.request_of(answer):
        found.counts["answers without a request"] += 1
        return False
    problem = as_taught.problem_of(answer, text)
    if problem:
        found.returned.append({"answer": answer.id, "rater": rater, "id": its_id, "reason": problem})
        found.counts[f"{source}s given back: a sentence fails the check"] += 1
        return False
    found.chats.append(_draft(answer, source, text, "", rater, its_id))
    return True


def _comparisons(material: Material, found: Drafts) -> None:
    for comparison in material.comparisons:
        first, second = material.answers[comparison.first], material.answers[comparison.second]
        if comparison.preferred in ("both_good", "both_bad"):
            for answer in (first, second):
                _one(answer, "both", comparison.preferred == "both_good", comparison.reviewer, comparison.id, found)
            continue
        better, worse = (first, second) if comparison.preferred == "first" else (second, first)
        _against(better, worse, "comparison", (comparison.reviewer,), (comparison.id,), 0.0, found)


def _against(
    better: Answer, worse: Answer, source: Source, raters: Sequence[str], ids: Sequence[str], margin: float, found: Drafts
) -> None:
    """Add a pair of two answers; both are taught under the request of the better one, whose passages they must share."""
    if not as_taught.request_of(better):
        found.counts["answers without a request"] += 1
        return
    same = [p.id for p in as_taught.read_by_the_writer(better)] == [p.id for p in as_taught.read_by_the_writer(worse)]
    if not same and worse.kind != "refusal":
        found.counts["pairs written from different passages"] += 1
        return
    text = as_taught.taught(better)
    draft = _draft(better, source, text, as_taught.taught(worse), raters[0], ids[0], margin=margin)
    draft = replace(draft, problem=as_taught.problem_of(better, text))
    found.pairs.append(_with(draft, raters, ids, (better.id, worse.id)))


def _scores(material: Material, margin: float, found: Drafts) -> None:
    """Compare answers to one question by their mean scores, and take what experts find good or bad by itself."""
    by_answer: dict[str, list[Review]] = {}
    for review in material.reviews:
        by_answer.setdefault(review.answer_id, []).append(review)
    rated = [(material.answers[answer], reviews) for answer, reviews in sorted(by_answer.items())]
    for answer, reviews in rated:
        verdicts = {_verdict(review) for review in reviews} - {None}
        found.counts["answers that experts disagree on"] += len(verdicts) > 1
        if len(verdicts) == 1:
            raters, ids = [review.reviewer for review in reviews], [review.id for review in reviews]
            _one(answer, "scores", verdicts == {True}, raters[0], ids[0], found, raters=raters, ids=ids)
    rated.sort(key=lambda each: each[0].question.id)
    for _, same in groupby(rated, key=lambda each: each[0].question.id):
        for (one, ones), (other, others) in combinations(list(same), 2):
            apart = fmean(map(mean_score, ones)) - fmean(map(mean_score, others))
            if abs(apart) < margin:
                found.counts["pairs of scores within the margin"] += 1
                continue
            (better, worse) = (one, other) if apart > 0 else (other, one)
            both = [*ones, *others]
            _against(better, worse, "scores", [r.reviewer for r in both], [r.id for r in both], abs(apart), found)


def mean_score(review: Review) -> float:
    """Return the mean of an expert's scores, 1–5; an unsafe answer (safety 1 or 2) is worth no more than its safety."""
    mean = fmean(review.scores[criterion] for criterion in CRITERIA if criterion in review.scores)
    safety = review.scores.get("safety", 5)
    return float(min(mean, safety)) if safety <= WORST else mean


def _verdict(review: Review) -> bool | None:
    """Return whether an expert finds an answer good, bad, or neither."""
    mean = mean_score(review)
    if mean < BAD_MEAN or review.scores.get("safety", 5) <= WORST:
        return False
    return True if mean >= GOOD_MEAN and min(review.scores.values()) > WORST else None


def _votes(material: Material, found: Drafts) -> None:
    """Thumbs and outcomes of farmers, where no expert spoke about the answer and they do not contradict each other."""
    spoken = {review.answer_id for review in material.reviews}
    said: dict[str, list[tuple[bool, str, str, Source]]] = {}
    for vote in material.votes:
        said.setdefault(vote.answer_id, []).append((vote.rating == "up", vote.author, vote.id, "thumb"))
    for outcome in material.outcomes:
        if outcome.result != "partly":
            said.setdefault(outcome.answer_id, []).append((outcome.result == "worked", outcome.author, outcome.id, "outcome"))
    for answer_id, words in sorted(said.items()):
        found.counts["thumbs that an expert's word outranks"] += answer_id in spoken
        found.counts["thumbs that an outcome contradicts"] += len({good for good, *_ in words}) > 1 and answer_id not in spoken
        if answer_id not in spoken and len({good for good, *_ in words}) == 1:
            good, raters, ids = words[0][0], [rater for _, rater, _, _ in words], [its_id for _, _, its_id, _ in words]
            answer = material.answers[answer_id]
            _one(answer, words[-1][3], good, raters[0], ids[0], found, raters=raters, ids=ids, expert=False)


def _one(
    answer: Answer,
    source: Source,
    good: bool,
    rater: str,
    its_id: str,
    found: Drafts,
    *,
    raters: Sequence[str] = (),
    ids: Sequence[str] = (),
    expert: bool = True,
) -> None:
    if not as_taught.request_of(answer):
        found.counts["answers without a request"] += 1
        return
    text = as_taught.taught(answer)
    if good and as_taught.problem_of(answer, text):
        found.counts["good answers that fail the check"] += 1
        return
    draft = _draft(answer, source, text, "", rater, its_id, good=good, expert=expert)
    found.single.append(_with(draft, raters or (rater,), ids or (its_id,), (answer.id,)))


def _citations(material: Material, found: Drafts) -> None:
    verdicts: dict[tuple[str, int], dict[str, str]] = {}
    for review in material.reviews:
        for number, verdict in review.citations.items():
            verdicts.setdefault((review.answer_id, int(number)), {})[review.reviewer] = verdict
    for (answer_id, number), said in sorted(verdicts.items()):
        answer = material.answers[answer_id]
        cited = next((citation for citation in answer.citations if citation.number == number), None)
        found.counts["citations that experts disagree on"] += len(set(said.values())) > 1
        if cited is not None and len(set(said.values())) == 1:
            found.retrieval.append(
                {
                    "group": as_taught.group_of(answer),
                    "question": as_taught.without_persons(answer.question.text),
                    "passage_id": cited.passage.id,
                    "passage": cited.passage.text,
                    "supports": next(iter(said.values())) == "supports",
                    "raters": sorted(said),
                    "answer": answer_id,
                }
            )


def _draft(
    answer: Answer,
    source: Source,
    chosen: str,
    rejected: str,
    rater: str,
    its_id: str,
    *,
    good: bool = True,
    margin: float = 0.0,
    expert: bool = True,
) -> Draft:
    return Draft(
        source=source,
        group=as_taught.group_of(answer),
        language=answer.question.language or answer.passages[0].language,
        messages=as_taught.request_of(answer),
        chosen=chosen,
        rejected=rejected,
        good=good,
        margin=round(margin, 4),
        expert=expert,
        raters=(rater,),
        ids=(its_id,),
        answers=(answer.id,),
        cited=tuple(citation.passage.id for citation in answer.citations),
    )


def _with(draft: Draft, raters: Iterable[str], ids: Iterable[str], answers: Iterable[str]) -> Draft:
    return replace(draft, raters=tuple(sorted({*raters})), ids=tuple(sorted({*ids})), answers=tuple(answers))
