"""The visitor's yes or no to keeping their photos: off by default, and taking it back deletes what was kept."""

from __future__ import annotations

import streamlit as st

from agri_llm.errors import NotYours, StoreUnavailable
from agri_llm.records import Answer
from ui import wiring
from ui.conversations import Conversation
from ui.words import word

_ALLOWED, _BOX, _SAID = "photos-allowed", "keep-photos", "photos-said"  # what the session remembers
CORRECTION = "photo-label"  # how the session's keys for corrections begin: they go when consent is taken back


def show(owner: str, talk: Conversation, answer: Answer) -> None:
    """Show the choice once, below the last photos of a conversation."""
    asked = [turn for turn in talk.turns if turn.question.photos]
    allowed = is_given(owner)
    if allowed is None or not asked or asked[-1].id != answer.id:
        return
    st.checkbox(
        word("keep_photos"),
        value=allowed,
        help=word("keep_photos_about"),
        key=_BOX,
        on_change=_chosen,
        args=(owner, talk),
    )
    said = st.session_state.pop(_SAID, None)
    if said:
        st.caption(word(said))


def is_given(owner: str) -> bool | None:
    """Whether the visitor lets us keep all their photos; None where the store does not answer. Asked for once a session."""
    if _ALLOWED not in st.session_state:
        try:
            st.session_state[_ALLOWED] = wiring.store().album.is_allowed(owner)
        except StoreUnavailable:
            return None
    return bool(st.session_state[_ALLOWED])


def _chosen(owner: str, talk: Conversation) -> None:
    album, wanted = wiring.store().album, bool(st.session_state[_BOX])
    try:
        if wanted:
            album.allow(owner)
            for turn in talk.turns:
                if turn.question.photos and turn.id not in talk.unsaved:
                    album.keep(owner, turn)
        else:
            album.withdraw(owner)
            st.session_state[_SAID] = "photos_deleted"
            for key in [key for key in st.session_state if str(key).startswith(CORRECTION)]:
                del st.session_state[key]
    except NotYours:  # the conversation was deleted in another tab; what was asked for holds for the next photos
        pass
    except StoreUnavailable:
        st.session_state[_BOX], st.session_state[_SAID] = not wanted, "photos_not_saved"
        return
    st.session_state[_ALLOWED] = wanted
