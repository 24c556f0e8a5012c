"""The conversation on the page: kept in the store when it answers, in this browser tab's memory in any case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import streamlit as st

from agri_llm import safety
from agri_llm.errors import AgriError, NotYours, StoreUnavailable
from agri_llm.records import Answer, Question, new_id
from agri_llm.store import ConversationSummary
from ui import wiring

ADDRESS = "c"  # name of the query parameter that holds the conversation's id
TURNS_AT_ONCE = 10
QUESTIONS_BEFORE = 3  # how far back a follow-up can refer


@dataclass
class Conversation:
    """What is on the page. `address` is the id in the page's address as we last saw or set it.

    `first_id` is the id that a new conversation gets when it is kept.
    """

    id: str | None = None
    first_id: str = field(default_factory=new_id)
    address: str | None = None
    turns: list[Answer] = field(default_factory=list)
    unsaved: set[str] = field(default_factory=set)  # ids of answers that the store did not take
    shown: int = TURNS_AT_ONCE
    missing: bool = False
    failed: tuple[Question, AgriError] | None = None

    def earlier(self) -> Question | None:
        """Return the last question with those before it, for a follow-up to refer to."""
        before: Question | None = None
        usable = [turn.question for turn in self.turns if safety.input_problem(turn.question.text) is None]
        for question in usable[-QUESTIONS_BEFORE:]:
            before = replace(question, follows=before, photos=())
        return before


def current(owner: str) -> Conversation:
    """Return the conversation on the page; one named in the page's address is loaded when it belongs to the owner."""
    talk: Conversation = st.session_state.setdefault("conversation", Conversation())
    wanted = st.query_params.get(ADDRESS)
    if wanted != talk.address:
        if wanted:
            open_one(owner, wanted)
        else:
            begin()
        talk = st.session_state["conversation"]
        talk.address = wanted
    if talk.id != talk.address and not talk.missing:
        if talk.id is None:
            st.query_params.pop(ADDRESS, None)
        else:
            st.query_params[ADDRESS] = talk.id
        talk.address = talk.id
    return talk


def begin() -> None:
    """Put a new, empty conversation on the page."""
    _put(Conversation())


def open_one(owner: str, conversation_id: str) -> None:
    """Put a stored conversation on the page; one that is not the owner's, or is gone, is called missing."""
    try:
        turns = wiring.store().turns(owner, conversation_id)
    except NotYours:
        _put(Conversation(missing=True))
    except StoreUnavailable:
        nothing_is_saved(True)
        _put(Conversation(missing=True))
    else:
        _put(Conversation(id=conversation_id, turns=turns))


def keep(owner: str, talk: Conversation, answer: Answer) -> None:
    """Add an answer to the conversation and to the store; a store that does not answer stops nobody."""
    talk.turns.append(answer)
    try:
        talk.id = wiring.store().save_turn(owner=owner, conversation_id=talk.id, answer=answer)
    except (StoreUnavailable, NotYours):  # not ours any more: deleted in another tab while the answer was written
        talk.unsaved.add(answer.id)


def listed(owner: str, search: str, limit: int) -> Sequence[ConversationSummary]:
    """Return the owner's conversations, newest first; an empty list, and a notice, where the store does not answer."""
    try:
        found = wiring.store().conversations(owner, search, limit)
    except StoreUnavailable:
        nothing_is_saved(True)
        return ()
    nothing_is_saved(False)
    return found


def delete(owner: str, talk: Conversation, conversation_id: str) -> None:
    """Delete a conversation for good; the page goes back to an empty one when it showed it."""
    try:
        wiring.store().delete_conversation(owner, conversation_id)
    except NotYours:
        pass  # gone already, in another tab
    except StoreUnavailable:
        nothing_is_saved(True)
        return
    if talk.id == conversation_id:
        begin()


def nothing_is_saved(now: bool) -> None:
    """Remember whether the store answers, for the notice on the page."""
    st.session_state["nothing_is_saved"] = now


def is_nothing_saved() -> bool:
    """Whether the store did not answer when it was last asked."""
    return bool(st.session_state.get("nothing_is_saved", False))


def _put(talk: Conversation) -> None:
    before: Conversation | None = st.session_state.get("conversation")
    talk.address = before.address if before else None
    st.session_state["conversation"] = talk
