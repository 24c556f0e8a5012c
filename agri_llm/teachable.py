"""What a training may learn from: what was said of the answers of people who agreed; a part of the store."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from agri_llm.account_tables import AccountRow, OutcomeRow, outcome_from
from agri_llm.consents import consenting
from agri_llm.judgements import Material
from agri_llm.records import Answer
from agri_llm.review_tables import AlternativeRow, ComparisonRow, ReviewRow, SignedRow, comparison_from, review_from
from agri_llm.signed import of as signed_of
from agri_llm.tables import AnswerRow, FeedbackRow, QuestionRow, answer_from, feedback_from

Said = TypeVar("Said", FeedbackRow, OutcomeRow, ReviewRow)


def read(session: Session) -> Material:
    """Return everything as it is at one moment, though people go on working. An edited correction stands for the farmer's."""
    if session.get_bind().dialect.name == "postgresql":  # SQLite reads one state of its file anyway
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    allowed = select(AnswerRow.id).join(QuestionRow, AnswerRow.question_id == QuestionRow.id)
    allowed = allowed.where(QuestionRow.owner.in_(consenting()))
    votes = session.scalars(_of(FeedbackRow, allowed).where(FeedbackRow.owner.in_(consenting())))
    outcomes = session.scalars(_of(OutcomeRow, allowed).where(OutcomeRow.owner.in_(consenting())))
    comparisons = select(ComparisonRow).where(ComparisonRow.first.in_(allowed), ComparisonRow.second.in_(allowed))
    experts = select(AccountRow.id).where(AccountRow.active.is_(True)).order_by(AccountRow.id)
    return Material(
        answers=_answers(session),
        votes=tuple(replace(feedback_from(row), correction=row.edited_correction or row.correction) for row in votes),
        outcomes=tuple(outcome_from(row) for row in outcomes),
        reviews=tuple(review_from(row) for row in session.scalars(_of(ReviewRow, allowed))),
        comparisons=tuple(comparison_from(row) for row in session.scalars(comparisons.order_by(ComparisonRow.id))),
        signed=tuple(signed_of(session, SignedRow.answer_id.in_(allowed))),
        experts=tuple(session.scalars(experts)),
    )


def _of(table: type[Said], allowed: Select[str]) -> Select[Said]:
    return select(table).where(table.answer_id.in_(allowed)).order_by(table.id)


def _answers(session: Session) -> dict[str, Answer]:
    """Answers of people who agreed of which anything was said."""
    named = [
        select(column)
        for column in (
            FeedbackRow.answer_id,
            OutcomeRow.answer_id,
            ReviewRow.answer_id,
            AlternativeRow.answer_id,
            AlternativeRow.shown_id,
            ComparisonRow.first,
            ComparisonRow.second,
        )
    ]
    query = (
        select(AnswerRow, QuestionRow)
        .join(QuestionRow, AnswerRow.question_id == QuestionRow.id)
        .where(QuestionRow.owner.in_(consenting()), AnswerRow.id.in_(named[0].union(*named[1:])))
        .order_by(AnswerRow.id)
    )
    return {row.id: answer_from(row, asked) for row, asked in session.execute(query)}
