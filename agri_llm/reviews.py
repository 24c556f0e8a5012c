"""What experts say of answers: reviews, comparisons, and what becomes of farmers' corrections; a part of the store.

Sending something twice leaves one row, so a page may try again after a lost connection; of two versions the later one counts.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from itertools import combinations

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from agri_llm import review_checks
from agri_llm.accounts import require
from agri_llm.database import Transaction, insert_into
from agri_llm.errors import BadInput, NotAllowed
from agri_llm.judgements import Comparison, Review
from agri_llm.records import Answer, FeedbackStatus, new_id, now
from agri_llm.review_tables import (
    AlternativeRow,
    ClaimRow,
    ComparisonRow,
    ReviewRow,
    comparison_from,
    comparison_values,
    pair_of,
    review_from,
    review_values,
)
from agri_llm.tables import AnswerRow, FeedbackRow, QuestionRow, answer_row

ALTERNATIVE = "alternative"  # the owner of answers that were made to be compared: no visitor's key, so no farmer meets them
DISAGREE = 2  # points of five between two reviewers, from which a third one is asked


class Reviews:
    """What experts said; the account that acts is looked up at each action."""

    def __init__(self, writing: Transaction, reading: Transaction) -> None:
        """Work in the transactions of a store."""
        self._writing, self._reading = writing, reading

    def submit(self, review: Review) -> None:
        """Keep a review; a later one of the same expert takes its place. Raises NotAllowed, BadInput."""
        with self._writing() as session:
            require(session, review.reviewer, "agronomist")
            review_checks.review(review, held(session, review.answer_id, review.reviewer))
            values = review_values(review) | {"wants_another": False}
            insert = insert_into(session, ReviewRow).values(values)
            session.execute(
                insert.on_conflict_do_update(
                    index_elements=["answer_id", "reviewer"],
                    set_={name: value for name, value in values.items() if name not in ("answer_id", "reviewer")},
                    where=ReviewRow.id <= review.id,  # a repeated older one must not undo a newer one
                )
            )
            _say_whether_another_is_wanted(session, review.answer_id)
            _let_go(session, review.answer_id, review.reviewer)

    def of_answer(self, by: str, answer_id: str) -> list[Review]:
        """Return what experts said of an answer, oldest first. Raises NotAllowed."""
        with self._reading() as session:
            require(session, by, "agronomist")
            return [review_from(row) for row in _of(session, answer_id)]

    def said(self, by: str) -> list[Review]:
        """Return all reviews, for the figures of agreement. Raises NotAllowed."""
        with self._reading() as session:
            require(session, by, "agronomist")
            return [review_from(row) for row in session.scalars(select(ReviewRow).order_by(ReviewRow.id))]

    def compared(self, by: str) -> list[Comparison]:
        """Return all comparisons, for the figures of agreement. Raises NotAllowed."""
        with self._reading() as session:
            require(session, by, "agronomist")
            return [comparison_from(row) for row in session.scalars(select(ComparisonRow).order_by(ComparisonRow.id))]

    def done_since(self, by: str, moment: datetime) -> int:
        """Return how many answers this person reviewed and compared since a moment. Raises NotAllowed."""
        with self._reading() as session:
            require(session, by, "agronomist")
            mine = [
                select(func.count()).select_from(table).where(table.reviewer == by, table.created_at >= moment)
                for table in (ReviewRow, ComparisonRow)
            ]
            return sum(session.scalar(query) or 0 for query in mine)

    def compare(self, comparison: Comparison) -> None:
        """Keep which of two answers to one question an expert prefers; a later word counts. Raises NotAllowed, BadInput."""
        review_checks.comparison(comparison)
        with self._writing() as session:
            require(session, comparison.reviewer, "agronomist")
            for answer_id in sorted((comparison.first, comparison.second)):  # in one order: nobody waits for each other
                if held(session, answer_id, comparison.reviewer).question_id != comparison.question_id:
                    raise BadInput(
                        "The two answers are not to the question named", "they cannot be compared", "take an item anew"
                    )
            values = comparison_values(comparison)
            insert = insert_into(session, ComparisonRow).values(values)
            session.execute(
                insert.on_conflict_do_update(
                    index_elements=["pair", "reviewer"], set_=values, where=ComparisonRow.id <= comparison.id
                )
            )
            _say_whether_another_comparison_is_wanted(session, comparison.first, comparison.second)
            _let_go(session, values["pair"], comparison.reviewer)

    def add_alternative(self, answer: Answer) -> bool:
        """Keep a second answer to a stored question, for comparison; the farmer never sees it. False where it says the same.

        Raises BadInput where nobody asked the question.
        """
        with self._writing() as session:
            shown = session.scalar(
                select(AnswerRow)
                .where(AnswerRow.question_id == answer.question.id, AnswerRow.owner != ALTERNATIVE, AnswerRow.id != answer.id)
                .order_by(AnswerRow.created_at, AnswerRow.id)
                .limit(1)
                .with_for_update(key_share=True)
            )
            if shown is None:
                raise BadInput("Nobody got an answer to this question", "there is nothing to compare", "answer it first")
            if session.get(AnswerRow, answer.id) is not None:
                return True
            if " ".join(shown.text.split()) == " ".join(answer.text.split()):
                return False
            session.add(answer_row(ALTERNATIVE, answer, now()))
            session.flush()
            link = AlternativeRow(id=new_id(), answer_id=answer.id, shown_id=shown.id, wants_another=True, created_at=now())
            session.add(link)
            return True

    def decide_correction(self, by: str, feedback_id: str, status: FeedbackStatus, text: str = "") -> None:
        """Say whether a farmer's better answer is right as it stands, right as edited in `text`, or wrong.

        Raises NotAllowed, also for one's own; BadInput.
        """
        review_checks.decision(status, text)
        with self._writing() as session:
            require(session, by, "agronomist")
            row = session.scalar(select(FeedbackRow).where(FeedbackRow.id == feedback_id).with_for_update())
            if row is None or not row.correction.strip():
                raise BadInput("There is no such correction", "nothing was decided", "take an item of the queue anew")
            if row.owner == by:
                raise _own()
            row.status, row.reviewer, row.updated_at = status, by, now()
            row.edited_correction = text if status == "edited" else None


def wants_two(item_id: str) -> bool:
    """Whether two experts are to look at this item: every fifth one, told by its id alone."""
    return int.from_bytes(hashlib.sha256(item_id.encode()).digest()[:8], "big") % 5 == 0


def held(session: Session, answer_id: str, reviewer: str) -> AnswerRow:
    """Return an answer that this expert may judge; until we are done nobody else judges it. Raises BadInput, NotAllowed."""
    row = session.scalar(select(AnswerRow).where(AnswerRow.id == answer_id).with_for_update(key_share=True))
    if row is None:
        raise BadInput("There is no such answer", "it was deleted or never given", "take the next item of the queue")
    asked = session.scalar(select(QuestionRow.owner).where(QuestionRow.id == row.question_id))
    if asked == reviewer:
        raise _own()
    return row


def _own() -> NotAllowed:
    return NotAllowed("This belongs to your own question", "nobody judges their own", "leave it to a colleague")


def _of(session: Session, answer_id: str) -> list[ReviewRow]:
    return list(session.scalars(select(ReviewRow).where(ReviewRow.answer_id == answer_id).order_by(ReviewRow.id)))


def disagree(reviews: list[ReviewRow]) -> bool:
    """Whether two experts differ by two points or more in a criterion."""
    return any(
        abs(one.scores[name] - other.scores[name]) >= DISAGREE for one, other in combinations(reviews, 2) for name in one.scores
    )


def _say_whether_another_is_wanted(session: Session, answer_id: str) -> None:
    reviews = _of(session, answer_id)
    wanted = 3 if len(reviews) == 2 and disagree(reviews) else 2 if wants_two(answer_id) else 1
    change = update(ReviewRow).where(ReviewRow.answer_id == answer_id).values(wants_another=len(reviews) < wanted)
    session.execute(change, execution_options={"synchronize_session": False})


def _say_whether_another_comparison_is_wanted(session: Session, first: str, second: str) -> None:
    pair = pair_of(first, second)
    said = session.scalar(select(func.count()).select_from(ComparisonRow).where(ComparisonRow.pair == pair)) or 0
    change = update(AlternativeRow).where(AlternativeRow.answer_id.in_((first, second)))
    change = change.where(AlternativeRow.shown_id.in_((first, second)))
    session.execute(change.values(wants_another=said < (2 if wants_two(pair) else 1)))


def _let_go(session: Session, item: str, reviewer: str) -> None:
    session.execute(delete(ClaimRow).where(ClaimRow.item == item, ClaimRow.reviewer == reviewer))
