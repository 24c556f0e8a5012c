"""What an expert should look at next, one item for one person at a time; a part of the store (`Store.queue`).

An item is an answer to review or two to compare, shown without saying which model wrote it and who asked. Looked at are the
newest few hundred of each kind, so that the queue is as fast with a hundred thousand answers as with a hundred.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from agri_llm import queue_candidates
from agri_llm.accounts import require
from agri_llm.database import Transaction, insert_into
from agri_llm.errors import BadInput
from agri_llm.ranking import Candidate, Reason, ranked
from agri_llm.records import Answer, Feedback, new_id, now
from agri_llm.review_tables import ClaimRow
from agri_llm.tables import AnswerRow, FeedbackRow, QuestionRow, answer_from, feedback_from

HELD = timedelta(minutes=30)  # how long an item is kept for one person


@dataclass(frozen=True, kw_only=True)
class Item:
    """What an expert gets to see; `said` is what the farmer thought of it, without a name.

    `answer` and `second` hold no model, adapter, timings or messages. For a comparison the order of the two is fixed by chance.
    """

    kind: Literal["review", "comparison"]
    id: str
    answer: Answer
    second: Answer | None = None
    why: tuple[str, ...] = ()
    said: tuple[Feedback, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """How much there is to do for one person, each item counted under its strongest reason; some hundreds at most."""

    total: int = 0
    by_reason: Mapping[Reason, int] = field(default_factory=dict)


class Queue:
    """Items for experts; the account that acts is looked up at each action."""

    def __init__(self, writing: Transaction, reading: Transaction) -> None:
        """Work in the transactions of a store."""
        self._writing, self._reading = writing, reading

    def take(self, reviewer: str, now: datetime) -> Item | None:
        """Return the item that teaches most and keep it for this person for half an hour; None where nothing is left.

        Who has an item gets the same one again. Raises NotAllowed.
        """
        with self._writing() as session:
            require(session, reviewer, "agronomist")
            session.execute(delete(ClaimRow).where(ClaimRow.skipped.is_(False), ClaimRow.expires_at <= now))
            mine = session.scalar(
                select(ClaimRow.item).where(ClaimRow.reviewer == reviewer, ClaimRow.skipped.is_(False)).limit(1)
            )
            for candidate, reasons in _ranked(session, reviewer):
                if mine in (None, candidate.item) and _claim(session, reviewer, candidate, now):
                    return _item(session, reviewer, candidate, reasons)
            if mine is None:
                return None
            session.execute(delete(ClaimRow).where(ClaimRow.reviewer == reviewer, ClaimRow.item == mine))
        return self.take(reviewer, now)  # what was held is done or gone

    def skip(self, reviewer: str, item: Item) -> None:
        """Give an item back and never offer it to this person again. Raises NotAllowed."""
        values = {"id": new_id(), "item": item.id, "answer_id": item.answer.id, "reviewer": reviewer}
        said = {"skipped": True, "expires_at": now()}
        with self._writing() as session:
            require(session, reviewer, "agronomist")
            if session.get(AnswerRow, item.answer.id) is None:
                return  # it was deleted in between: nothing to skip
            insert = insert_into(session, ClaimRow).values(values | said)
            session.execute(insert.on_conflict_do_update(index_elements=["item", "reviewer"], set_=said))

    def waiting(self, by: str) -> Waiting:
        """Return how much waits for this person, by reason. Raises NotAllowed."""
        with self._reading() as session:
            require(session, by, "agronomist")
            counts = Counter(reasons[0] for _, reasons in _ranked(session, by))
            return Waiting(total=counts.total(), by_reason=dict(counts))


def _ranked(session: Session, reviewer: str) -> list[tuple[Candidate, tuple[Reason, ...]]]:
    return ranked(queue_candidates.all_for(session, reviewer), queue_candidates.reviews_by_crop(session))


def _claim(session: Session, reviewer: str, candidate: Candidate, moment: datetime) -> bool:
    """Keep a candidate for this person unless enough others have it; nobody waits for one that is being taken."""
    hold = select(AnswerRow.id).where(AnswerRow.id == candidate.answer_id)
    if session.scalar(hold.with_for_update(key_share=True, skip_locked=True)) is None:
        return False
    others = select(ClaimRow.reviewer).where(
        ClaimRow.item == candidate.item, ClaimRow.reviewer != reviewer, ClaimRow.skipped.is_(False)
    )
    if len(session.scalars(others).all()) >= queue_candidates.still_wanted(session, candidate):
        return False
    values = {"id": new_id(), "item": candidate.item, "answer_id": candidate.answer_id, "reviewer": reviewer}
    said = {"skipped": False, "expires_at": moment + HELD}
    insert = insert_into(session, ClaimRow).values(values | said)
    session.execute(insert.on_conflict_do_update(index_elements=["item", "reviewer"], set_=said))
    return True


def _item(session: Session, reviewer: str, candidate: Candidate, reasons: tuple[Reason, ...]) -> Item:
    answer = _blind(session, candidate.answer_id)
    votes = select(FeedbackRow).where(FeedbackRow.answer_id == candidate.answer_id).order_by(FeedbackRow.id)
    said = tuple(replace(feedback_from(row), author="", reviewer=None) for row in session.scalars(votes))
    if candidate.second is None:
        return Item(kind="review", id=candidate.item, answer=answer, why=reasons, said=said)
    second = _blind(session, candidate.second)
    if queue_candidates.turned(candidate.item, reviewer):
        answer, second = second, answer
    return Item(kind="comparison", id=candidate.item, answer=answer, second=second, why=reasons)


def _blind(session: Session, answer_id: str) -> Answer:
    """Return an answer without anything that tells which model wrote it."""
    row = session.get(AnswerRow, answer_id)
    asked = session.get(QuestionRow, row.question_id) if row is not None else None
    if row is None or asked is None:
        raise BadInput("This answer was deleted", "it cannot be reviewed", "take the next item")
    answer = answer_from(row, asked)
    return replace(answer, messages=(), model="", adapter=None, index_hash="", prompt_hash="", timings_ms={})
