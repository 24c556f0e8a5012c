"""Which adapter writes the answers, and every decision that led there; a part of the store (`Store.promotions`).

Decisions are only added. The newest that promoted or rolled back says what is in use; a canary runs until it is stopped or the
next promotion.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from types import EllipsisType

from sqlalchemy import ColumnElement, Select, func, select, text
from sqlalchemy.orm import Session

from agri_llm.account_tables import OutcomeRow
from agri_llm.database import Transaction
from agri_llm.errors import BadInput
from agri_llm.judgements import Promotion
from agri_llm.promotion_tables import PromotionRow, promotion_from, promotion_row
from agri_llm.tables import AnswerRow, FeedbackRow, QuestionRow

IN_USE = ("promoted", "rolled_back")
ONE_AT_A_TIME = 5_270_005  # the advisory lock of PostgreSQL for decisions; SQLite has one writer at a time anyway


class Promotions:
    """The decisions of one installation; who may decide is asked by those who call, the command and the page."""

    def __init__(self, writing: Transaction, reading: Transaction) -> None:
        """Work in the transactions of a store."""
        self._writing, self._reading = writing, reading

    def current(self) -> Promotion | None:
        """Return the decision in force; None where none was ever made, and the settings say what writes."""
        with self._reading() as session:
            return _newest(session, *IN_USE)

    def canary(self) -> Promotion | None:
        """Return the canary that runs, or None."""
        with self._reading() as session:
            last = _newest(session)
            return last if last is not None and last.kind == "canary" else None

    def promote(self, promotion: Promotion, *, over: str | EllipsisType | None = ...) -> None:
        """Let an adapter write from now on; the same decision given twice counts once.

        `over` is the adapter that it was compared with, None for the base alone; where another one is in use by now, nothing
        shows that it is better. Raises BadInput then, for another kind of decision, and for one that was taken back since.
        """
        if promotion.kind != "promoted":
            raise BadInput(
                f"The decision is {promotion.kind}", "only one that promotes can be made here", "use its own command"
            )
        with self._writing() as session:
            _hold(session)
            current = _newest(session, *IN_USE)
            used = current.adapter if current is not None else None
            if session.get(PromotionRow, promotion.id) is None:
                _check_compared(promotion, used, over)
            elif used != promotion.adapter:
                raise BadInput(
                    f"{promotion.adapter} was promoted before and is not in use",
                    f"{used or 'the base alone'} was chosen since",
                    "go back to it with `agri promote`",
                )
            _add(session, promotion)

    def roll_back(self, by: str, to: str | None, reasons: tuple[str, ...] = ()) -> Promotion:
        """Go back to an adapter that was in use before, None for the base alone; returns the decision.

        Raises BadInput where it never was, or is in use now.
        """
        with self._writing() as session:
            _hold(session)
            current = _newest(session, *IN_USE)
            if current is None or current.adapter == to:
                raise BadInput(f"{to or 'the base alone'} is in use", "there is nothing to go back to", "name an earlier one")
            before = _newest_of(session, to)
            if before is None and to is not None:
                raise BadInput(f"{to} was never in use", "going back is to what was served before", "promote it with its run")
            known = before or Promotion(kind="promoted", adapter=None, by=by)
            back = replace(
                Promotion(kind="rolled_back", adapter=to, by=by, reasons=reasons), sha256=known.sha256, run=known.run
            )
            _add(session, back)
            return back

    def begin_canary(self, promotion: Promotion) -> None:
        """Let a share of the conversations, above 0 and at most half, get a candidate first. Raises BadInput."""
        if promotion.kind != "canary" or not 0 < promotion.share <= 0.5:
            raise BadInput(
                f"The share is {promotion.share}", "a canary is a small part of the conversations", "give a share up to 0.5"
            )
        with self._writing() as session:
            _hold(session)
            last = _newest(session)
            if last is not None and last.kind == "canary" and last.id != promotion.id:
                raise BadInput(f"A canary of {last.adapter} runs", "two at once could not be told apart", "stop it first")
            _add(session, promotion)

    def stop_canary(self, by: str, reasons: tuple[str, ...], only: str = "") -> Promotion | None:
        """End the canary that runs, or `only` the one with this id, and return the decision; None where it does not run."""
        with self._writing() as session:
            _hold(session)
            last = _newest(session)
            if last is None or last.kind != "canary" or only not in ("", last.id):
                return None
            stopped = Promotion(
                kind="canary_stopped", adapter=last.adapter, sha256=last.sha256, run=last.run, by=by, reasons=reasons
            )
            _add(session, stopped)
            return stopped

    def history(self, limit: int = 50) -> list[Promotion]:
        """Return the decisions, the newest first."""
        with self._reading() as session:
            query = select(PromotionRow).order_by(PromotionRow.number.desc()).limit(limit)
            return [promotion_from(row) for row in session.scalars(query)]

    def votes_by_adapter(self, since: datetime) -> list[tuple[str | None, str, bool]]:
        """Return (adapter, conversation, harmed) of what was said of each answer made since then, in the order it was said.

        A thumb down is harm, and so is advice that failed; a signed answer is nobody's adapter's, and is left out.
        """
        votes = _told(FeedbackRow, FeedbackRow.rating == "down", since)
        outcomes = _told(OutcomeRow, OutcomeRow.result == "failed", since)
        with self._reading() as session:
            told = [row for query in (votes, outcomes) for row in session.execute(query)]
        told.sort(key=lambda row: (row[3], row[4]))
        return [(adapter, conversation, bool(harmed)) for adapter, conversation, harmed, _, _ in told]


def _told(
    said: type[FeedbackRow | OutcomeRow], harm: ColumnElement[bool], since: datetime
) -> Select[str | None, str, bool, datetime, str]:
    return (
        select(AnswerRow.adapter, QuestionRow.conversation_id, harm, said.created_at, said.id)
        .join(said, said.answer_id == AnswerRow.id)
        .join(QuestionRow, AnswerRow.question_id == QuestionRow.id)
        .where(AnswerRow.created_at >= since, AnswerRow.model != "signed")
    )


def _check_compared(promotion: Promotion, used: str | None, over: str | EllipsisType | None) -> None:
    """Raise BadInput where a candidate was compared with another adapter than the one in use at this moment."""
    if over not in (..., used):
        raise BadInput(
            f"{used or 'the base alone'} is in use by now",
            f"{promotion.adapter} was compared with {over or 'the base alone'}, so nothing shows that it is better",
            "retrain, which compares with what is in use",
        )


def _hold(session: Session) -> None:
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ONE_AT_A_TIME})


def _add(session: Session, promotion: Promotion) -> None:
    _hold(session)
    if session.get(PromotionRow, promotion.id) is None:
        number = session.scalar(select(func.max(PromotionRow.number))) or 0
        session.add(promotion_row(promotion, number + 1))
        session.flush()


def _newest(session: Session, *kinds: str) -> Promotion | None:
    query = select(PromotionRow).order_by(PromotionRow.number.desc()).limit(1)
    row = session.scalar(query.where(PromotionRow.kind.in_(kinds)) if kinds else query)
    return None if row is None else promotion_from(row)


def _newest_of(session: Session, adapter: str | None) -> Promotion | None:
    query = select(PromotionRow).where(PromotionRow.kind.in_(IN_USE))
    query = query.where(PromotionRow.adapter.is_(None) if adapter is None else PromotionRow.adapter == adapter)
    row = session.scalar(query.order_by(PromotionRow.number.desc()).limit(1))
    return None if row is None else promotion_from(row)
