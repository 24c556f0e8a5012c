"""What an expert should look at next, one item for one person at a time; a part of the store (`Store.queue`).

An item is an answer to review or two to compare, shown without saying which model wrote it and who asked. Looked at are the
newest few hundred of each kind, so that the queue is as fast with a hundred thousand answers as with a hundred.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from agri_llm import queue_candidates, review_checks
from agri_llm.accounts import require
from agri_llm.database import Transaction, insert_into
from agri_llm.errors import BadInput
from agri_llm.judgements import Review
from agri_llm.personal import district, scrubbed
from agri_llm.ranking import Candidate, Reason, ranked
from agri_llm.records import Answer, Feedback, Question, new_id, now
from agri_llm.review_tables import ClaimRow, ReviewRow, review_from
from agri_llm.tables import AnswerRow, FeedbackRow, QuestionRow, answer_from, feedback_from

HELD = timedelta(minutes=30)  # how long an item is kept for one person
LOOKED_AT = 20  # newest corrections of a person that are checked again


@dataclass(frozen=True, kw_only=True)
class Item:
    """What an expert gets to see; `said` is what the farmer thought of it, without a name; `draft` what was typed already.

    `answer` and `second` hold no model, adapter, timings or messages. For a comparison the order of the two is fixed by chance.
    """

    kind: Literal["review", "comparison"]
    id: str
    answer: Answer
    second: Answer | None = None
    why: tuple[str, ...] = ()
    said: tuple[Feedback, ...] = ()
    draft: Mapping[str, Any] = field(default_factory=dict)


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
            over = delete(ClaimRow).where(ClaimRow.skipped.is_(False), ClaimRow.expires_at <= now)
            session.execute(over.where(ClaimRow.draft.is_(None)))
            own = select(ClaimRow.item).where(ClaimRow.reviewer == reviewer, ClaimRow.skipped.is_(False))
            begun = list(session.scalars(own.order_by(ClaimRow.expires_at.desc())))
            waiting = _ranked(session, reviewer)
            mine = next((item for item in begun if any(each.item == item for each, _ in waiting)), None)
            for candidate, reasons in sorted(waiting, key=lambda pair: pair[0].item != mine):
                if _claim(session, reviewer, candidate, now):
                    return _item(session, reviewer, candidate, reasons)
            return None

    def keep_draft(self, reviewer: str, item: Item, draft: Mapping[str, Any]) -> None:
        """Keep what somebody typed so far, and the item for them for another half hour. Raises NotAllowed, BadInput."""
        review_checks.draft(draft)
        mine = (ClaimRow.item == item.id, ClaimRow.reviewer == reviewer, ClaimRow.skipped.is_(False))
        with self._writing() as session:
            require(session, reviewer, "agronomist")
            change = update(ClaimRow).where(*mine).values(draft=dict(draft), expires_at=now() + HELD)
            session.execute(change, execution_options={"synchronize_session": False})

    def given_back(self, by: str, passes: Callable[[Answer, str], bool]) -> list[tuple[Item, Review]]:
        """Return this person's newest corrections that may not be taught, with what they said of the answers.

        `passes` looks at an answer and the text that is to stand in its place. Raises NotAllowed.
        """
        mine = select(ReviewRow).where(ReviewRow.reviewer == by, ReviewRow.correction != "")
        with self._reading() as session:
            require(session, by, "agronomist")
            reviews = [review_from(row) for row in session.scalars(mine.order_by(ReviewRow.id.desc()).limit(LOOKED_AT))]
            answers = [_blind(session, review.answer_id) for review in reviews]
        return [
            (Item(kind="review", id=answer.id, answer=answer, why=("returned",)), review)
            for answer, review in zip(answers, reviews, strict=True)
            if not passes(answer, review.correction)
        ]

    def skip(self, reviewer: str, item: Item) -> None:
        """Give an item back and never offer it to this person again. Raises NotAllowed."""
        values = {"id": new_id(), "item": item.id, "answer_id": item.answer.id, "reviewer": reviewer}
        said = {"skipped": True, "expires_at": now(), "draft": None}
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
        ClaimRow.item == candidate.item,
        ClaimRow.reviewer != reviewer,
        ClaimRow.skipped.is_(False),
        ClaimRow.expires_at > moment,
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
    held = select(ClaimRow.draft).where(ClaimRow.item == candidate.item, ClaimRow.reviewer == reviewer)
    draft = session.scalar(held) or {}
    votes = select(FeedbackRow).where(FeedbackRow.answer_id == candidate.answer_id).order_by(FeedbackRow.id)
    said = tuple(_unnamed_said(feedback_from(row)) for row in session.scalars(votes))
    if candidate.second is None:
        return Item(kind="review", id=candidate.item, answer=answer, why=reasons, said=said, draft=draft)
    second = _blind(session, candidate.second)
    if queue_candidates.turned(candidate.item, reviewer):
        answer, second = second, answer
    return Item(kind="comparison", id=candidate.item, answer=answer, second=second, why=reasons, draft=draft)


def _blind(session: Session, answer_id: str) -> Answer:
    """Return an answer without anything that tells which model wrote it, or who asked from where."""
    row = session.get(AnswerRow, answer_id)
    asked = session.get(QuestionRow, row.question_id) if row is not None else None
    if row is None or asked is None:
        raise BadInput("This answer was deleted", "it cannot be reviewed", "take the next item")
    answer = answer_from(row, asked)
    question = _unnamed(answer.question)
    return replace(answer, question=question, messages=(), model="", adapter=None, index_hash="", prompt_hash="", timings_ms={})


def _unnamed(asked: Question) -> Question:
    """Return a question, and those before it, without names, numbers and addresses, its place no finer than a district."""
    earlier = _unnamed(asked.follows) if asked.follows else None
    return replace(asked, text=scrubbed(asked.text)[0], place=district(asked.place), follows=earlier)


def _unnamed_said(vote: Feedback) -> Feedback:
    correction, comment = scrubbed(vote.correction)[0], scrubbed(vote.comment)[0]
    return replace(vote, author="", reviewer=None, correction=correction, comment=comment)
