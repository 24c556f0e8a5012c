"""What became of advice days later; a part of the store, reached through the methods of `Store`."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from agri_llm.account_tables import OutcomeRow, OutcomeSkipRow, outcome_from
from agri_llm.album import photos_of
from agri_llm.database import Transaction, insert_into, not_yours
from agri_llm.errors import BadInput
from agri_llm.judgements import Outcome
from agri_llm.records import Answer, new_id, now
from agri_llm.tables import AnswerRow, QuestionRow, answer_from

LONGEST_COMMENT = 4000  # characters, as for the comment of a vote


class Outcomes:
    """What owners say of their own answers, and which one to ask them about."""

    def __init__(self, writing: Transaction, reading: Transaction) -> None:
        """Work in the transactions of a store."""
        self._writing, self._reading = writing, reading

    def save(self, owner: str, outcome: Outcome) -> None:
        """Keep what became of advice; a second word replaces the first, whose id stays. Raises NotYours, BadInput."""
        if outcome.author != owner:
            raise not_yours("outcome", outcome.id)
        if len(outcome.comment) > LONGEST_COMMENT:
            found = f"The comment has {len(outcome.comment)} characters"
            raise BadInput(found, f"{LONGEST_COMMENT} are the most", "say it in fewer words")
        moment = now()
        said = {"result": outcome.result, "comment": outcome.comment, "updated_at": moment}
        first = {"id": outcome.id, "owner": owner, "answer_id": outcome.answer_id, "created_at": outcome.created_at}
        with self._writing() as session:
            _hold_own(session, owner, outcome.answer_id)
            insert = insert_into(session, OutcomeRow).values(first | said)
            session.execute(insert.on_conflict_do_update(index_elements=["owner", "answer_id"], set_=said))

    def of(self, owner: str, answer_id: str) -> Outcome | None:
        """Return what the owner said became of an answer, or None."""
        query = select(OutcomeRow).where(OutcomeRow.owner == owner, OutcomeRow.answer_id == answer_id)
        with self._reading() as session:
            row = session.scalar(query)
            return None if row is None else outcome_from(row)

    def skip(self, owner: str, answer_id: str) -> None:
        """Never ask the owner about this answer again. Raises NotYours."""
        values = {"id": new_id(), "owner": owner, "answer_id": answer_id, "created_at": now()}
        with self._writing() as session:
            _hold_own(session, owner, answer_id)
            insert = insert_into(session, OutcomeSkipRow).values(values)
            session.execute(insert.on_conflict_do_nothing(index_elements=["owner", "answer_id"]))

    def awaiting(self, owner: str, moment: datetime, after_days: float) -> Answer | None:
        """Return the newest whole advice older than so many days of which the owner said nothing yet, or None."""
        told = select(OutcomeRow.id).where(OutcomeRow.answer_id == AnswerRow.id, OutcomeRow.owner == owner)
        skipped = select(OutcomeSkipRow.id).where(OutcomeSkipRow.answer_id == AnswerRow.id, OutcomeSkipRow.owner == owner)
        query = (
            select(AnswerRow, QuestionRow)
            .join(QuestionRow, AnswerRow.question_id == QuestionRow.id)
            .where(AnswerRow.owner == owner, QuestionRow.owner == owner)
            .where(AnswerRow.kind == "advice", AnswerRow.complete.is_(True))
            .where(AnswerRow.created_at <= moment - timedelta(days=after_days), ~told.exists(), ~skipped.exists())
            .order_by(AnswerRow.created_at.desc(), AnswerRow.id.desc())
            .limit(1)
        )
        with self._reading() as session:
            found = session.execute(query).first()
            if found is None:
                return None
            row, asked = found
            return answer_from(row, asked, photos_of(session, [asked.id]).get(asked.id, ()))


def _hold_own(session: Session, owner: str, answer_id: str) -> None:
    """Hold the owner's answer, so that it is not deleted in between; raises NotYours."""
    seen = select(AnswerRow.id).where(AnswerRow.owner == owner, AnswerRow.id == answer_id)
    if session.scalar(seen.with_for_update(read=True, key_share=True)) is None:
        raise not_yours("answer", answer_id)
