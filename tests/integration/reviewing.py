"""Experts, answers and reviews for the tests of what experts say."""

from __future__ import annotations

from typing import Any

from agri_llm.account_tables import AccountRow
from agri_llm.judgements import CRITERIA, Review, Role
from agri_llm.records import Answer, Citation, Passage, Question, new_id, now
from agri_llm.store import Store

AMINA = "visitor:amina"
PASSAGE = Passage(id="p1", document_id="d1", title="Bananas", text="Trap banana weevils with split stems. Burn nothing.")
QUOTE = "Trap banana weevils with split stems."


def expert(store: Store, name: str = "", role: Role = "agronomist") -> str:
    """Add an account without the time that hashing a password takes, and return its id."""
    its_id, moment = new_id(), now()
    with store._writing() as session:
        row = AccountRow(id=its_id, name=name or its_id, name_key=name or its_id, role=role, password="-", active=True)
        row.created_at = row.updated_at = moment
        session.add(row)
    return its_id


def answer(asked: str = "How do I stop weevils?", **details: Any) -> Answer:
    """An answer with one citation, of a model that nobody may see."""
    details = {"text": "Trap banana weevils with split stems.[1]", "model": "secret-model", "adapter": "run-7"} | details
    question = details.pop("question", None) or Question(text=asked, crop=details.pop("crop", "banana"))
    cited = (Citation(number=1, passage=PASSAGE, quote=QUOTE),)
    return Answer(question=question, kind=details.pop("kind", "advice"), citations=cited, passages=(PASSAGE,), **details)


def given(store: Store, owner: str = AMINA, asked: str = "How do I stop weevils?", **details: Any) -> Answer:
    """An answer that somebody got."""
    made = answer(asked, **details)
    store.save_turn(owner=owner, conversation_id=None, answer=made)
    return made


def review(answer_id: str, reviewer: str, score: int = 4, **details: Any) -> Review:
    """A review with one score for every criterion."""
    scores = details.pop("scores", dict.fromkeys(CRITERIA, score))
    return Review(answer_id=answer_id, reviewer=reviewer, scores=scores, **details)
