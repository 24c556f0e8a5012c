"""What could be judged next, found in the store: bounded lists of the newest answers and pairs that still want somebody."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, aliased

from agri_llm.ranking import Candidate
from agri_llm.review_tables import AlternativeRow, ClaimRow, ComparisonRow, ReviewRow, pair_of
from agri_llm.reviews import ALTERNATIVE, disagree, wants_two
from agri_llm.tables import AnswerRow, FeedbackRow, QuestionRow

NEWEST = 200  # of each kind
COUNTED = 2000  # newest reviews from which it is told which crops are seldom reviewed


def all_for(session: Session, reviewer: str) -> list[Candidate]:
    """Return what this person may judge, each item once."""
    ids = {
        answer_id
        for query in (_voted_down(reviewer), _new(reviewer), _wanting_another(reviewer))
        for answer_id in session.scalars(query.limit(NEWEST))
    }
    return [*_answers(session, ids), *_pairs(session, reviewer)]


def still_wanted(session: Session, candidate: Candidate) -> int:
    """Return how many more people should judge this one, counted while it is held."""
    if candidate.second is not None:
        done = select(func.count()).select_from(ComparisonRow).where(ComparisonRow.pair == candidate.item)
        return (2 if wants_two(candidate.item) else 1) - (session.scalar(done) or 0)
    reviews = list(session.scalars(select(ReviewRow).where(ReviewRow.answer_id == candidate.answer_id)))
    wanted = 3 if len(reviews) == 2 and disagree(reviews) else 2 if wants_two(candidate.answer_id) else 1
    return wanted - len(reviews)


def reviews_by_crop(session: Session) -> dict[str | None, int]:
    """Return how many of the newest reviews were about each crop."""
    newest = select(ReviewRow.answer_id).order_by(ReviewRow.id.desc()).limit(COUNTED).subquery()
    query = (
        select(QuestionRow.crop, func.count())
        .join(AnswerRow, AnswerRow.question_id == QuestionRow.id)
        .join(newest, newest.c.answer_id == AnswerRow.id)
        .group_by(QuestionRow.crop)
    )
    return {crop: count for crop, count in session.execute(query).all()}  # noqa: C416 - typed rows


def turned(item: str, reviewer: str) -> bool:
    """Whether this person sees the two answers the other way round: by chance, but the same at every look."""
    return hashlib.sha256(f"{item} {reviewer}".encode()).digest()[0] % 2 == 1


def _open(reviewer: str) -> Select[str]:
    """Answers that this person may review and has not done or put aside, the newest first."""
    done = select(ReviewRow.id).where(ReviewRow.answer_id == AnswerRow.id, ReviewRow.reviewer == reviewer)
    return (
        select(AnswerRow.id)
        .join(QuestionRow, AnswerRow.question_id == QuestionRow.id)
        .where(AnswerRow.owner != ALTERNATIVE, AnswerRow.complete.is_(True), AnswerRow.signed_by.is_(None))
        .where(QuestionRow.owner != reviewer, ~done.exists(), ~_skipped(reviewer).exists())
        .order_by(AnswerRow.id.desc())
    )


def _skipped(reviewer: str) -> Select[str]:
    mine = select(ClaimRow.id).where(ClaimRow.reviewer == reviewer, ClaimRow.skipped.is_(True))
    return mine.where(ClaimRow.item == AnswerRow.id)


def _new(reviewer: str) -> Select[str]:
    return _open(reviewer).where(~select(ReviewRow.id).where(ReviewRow.answer_id == AnswerRow.id).exists())


def _voted_down(reviewer: str) -> Select[str]:
    down = select(FeedbackRow.answer_id).where(FeedbackRow.rating == "down")
    return _new(reviewer).where(AnswerRow.id.in_(down))


def _wanting_another(reviewer: str) -> Select[str]:
    return _open(reviewer).where(AnswerRow.id.in_(select(ReviewRow.answer_id).where(ReviewRow.wants_another.is_(True))))


def _answers(session: Session, ids: set[str]) -> Iterator[Candidate]:
    columns = (AnswerRow.id, AnswerRow.kind, AnswerRow.text, AnswerRow.diagnosis, QuestionRow.text, QuestionRow.crop)
    query = select(*columns).join(QuestionRow, AnswerRow.question_id == QuestionRow.id).where(AnswerRow.id.in_(ids))
    down: dict[str, set[str]] = {}
    for answer_id, reasons in session.execute(
        select(FeedbackRow.answer_id, FeedbackRow.reasons).where(FeedbackRow.answer_id.in_(ids), FeedbackRow.rating == "down")
    ):
        down.setdefault(answer_id, set()).update(reasons)
    reviews: dict[str, list[ReviewRow]] = {}
    for row in session.scalars(select(ReviewRow).where(ReviewRow.answer_id.in_(ids))):
        reviews.setdefault(row.answer_id, []).append(row)
    for answer_id, kind, text, diagnosis, asked, crop in session.execute(query):
        said = reviews.get(answer_id, [])
        yield Candidate(
            item=answer_id,
            answer_id=answer_id,
            question=asked,
            text=text,
            kind=kind,
            crop=crop,
            down=answer_id in down,
            reasons=frozenset(down.get(answer_id, ())),
            reviewed=len(said),
            disputed=disagree(said),
            certain=diagnosis is None or bool(diagnosis["certain"]),
        )


def _pairs(session: Session, reviewer: str) -> Iterator[Candidate]:
    shown = aliased(AnswerRow)
    query = (
        select(AlternativeRow.answer_id, shown.id, shown.kind, shown.text, QuestionRow.text, QuestionRow.crop)
        .join(shown, AlternativeRow.shown_id == shown.id)
        .join(QuestionRow, shown.question_id == QuestionRow.id)
        .where(AlternativeRow.wants_another.is_(True), QuestionRow.owner != reviewer)
        .order_by(AlternativeRow.answer_id.desc())
        .limit(NEWEST)
    )
    found = session.execute(query).all()
    pairs = [pair_of(row[0], row[1]) for row in found]
    done = set(
        session.scalars(select(ComparisonRow.pair).where(ComparisonRow.reviewer == reviewer, ComparisonRow.pair.in_(pairs)))
    )
    mine = select(ClaimRow.item).where(ClaimRow.reviewer == reviewer, ClaimRow.skipped.is_(True), ClaimRow.item.in_(pairs))
    done |= set(session.scalars(mine))
    for pair, (second, answer_id, kind, text, asked, crop) in zip(pairs, found, strict=True):
        if pair not in done:
            yield Candidate(item=pair, answer_id=answer_id, second=second, question=asked, text=text, kind=kind, crop=crop)
