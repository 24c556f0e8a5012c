"""Thumbs below an answer, then why, and what it should have said; stored at once and open to change."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from agri_llm.errors import NotYours, StoreUnavailable
from agri_llm.records import Feedback, Rating
from ui import training_consent, wiring
from ui.words import word

REASONS: dict[Rating, tuple[str, ...]] = {
    "down": ("wrong", "unsafe", "not_my_place", "too_long", "hard_to_understand", "source_differs", "missing", "other"),
    "up": ("helpful", "clear", "complete", "well_sourced"),
}
_RATINGS: tuple[Rating, ...] = ("down", "up")  # what st.feedback calls 0 and 1
LONGEST = 4000  # characters of a correction or comment


@st.fragment
def show(owner: str, answer_id: str, newest: bool = False) -> None:
    """Show thumbs for one answer, and the question of consent below a vote or the newest answer.

    A fragment: voting stores at once and never interrupts an answer being written.
    """
    vote = _stored(owner, answer_id)
    default = None if vote is None else _RATINGS.index(vote.rating)
    with st.container(key=f"vote-{answer_id}", gap="small"):
        st.feedback("thumbs", key=_key("thumb", answer_id), default=default, on_change=_rated, args=(owner, answer_id))
        if st.session_state.get(_key("failed", answer_id)):
            st.warning(word("vote_not_saved"), icon=":material/cloud_off:")
        if vote is None and newest:
            training_consent.ask(owner, answer_id)
        if vote is None:
            return
        if st.session_state.get(_key("editing", answer_id)):
            _form(owner, vote)
        else:
            _thanks(vote)
        training_consent.ask(owner, answer_id)


def _thanks(vote: Feedback) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(word("vote_saved"), width="content")
        st.button(
            word("vote_change"),
            key=_key("change", vote.answer_id),
            type="tertiary",
            on_click=_edit,
            args=(vote.answer_id,),
        )


def _form(owner: str, vote: Feedback) -> None:
    answer_id, rating = vote.answer_id, vote.rating
    with st.form(_key("form", answer_id)):
        st.pills(
            word(f"reasons_{rating}"),
            REASONS[rating],
            selection_mode="multi",
            default=[reason for reason in vote.reasons if reason in REASONS[rating]],
            format_func=lambda reason: word(f"reason_{reason}"),
            key=_key(f"reasons-{rating}", answer_id),
        )
        if rating == "down":
            st.text_area(
                word("correction"),
                value=vote.correction,
                placeholder=word("correction_hint"),
                max_chars=LONGEST,
                key=_key("correction", answer_id),
            )
        st.text_area(word("comment"), value=vote.comment, max_chars=LONGEST, height=68, key=_key("comment", answer_id))
        st.form_submit_button(word("vote_save"), type="primary", on_click=_explained, args=(owner, vote))


def _rated(owner: str, answer_id: str) -> None:
    chosen, before = st.session_state[_key("thumb", answer_id)], _stored(owner, answer_id)
    _edit(answer_id)
    if chosen is None:  # the same thumb again: a vote is changed, not taken back, so the form opens
        st.session_state[_key("thumb", answer_id)] = None if before is None else _RATINGS.index(before.rating)
        return
    rating = _RATINGS[chosen]
    vote = before or Feedback(answer_id=answer_id, rating=rating, author=owner)
    _keep(owner, replace(vote, rating=rating, reasons=vote.reasons if vote.rating == rating else ()))


def _explained(owner: str, vote: Feedback) -> None:
    said = st.session_state
    _keep(
        owner,
        replace(
            vote,
            reasons=tuple(said.get(_key(f"reasons-{vote.rating}", vote.answer_id)) or ()),
            correction=str(said.get(_key("correction", vote.answer_id), vote.correction)).strip(),
            comment=str(said.get(_key("comment", vote.answer_id), "")).strip(),
        ),
    )
    if not said.get(_key("failed", vote.answer_id)):
        said[_key("editing", vote.answer_id)] = False


def _edit(answer_id: str) -> None:
    st.session_state[_key("editing", answer_id)] = True


def _keep(owner: str, vote: Feedback) -> None:
    try:
        wiring.store().save_feedback(owner, vote)
    except (StoreUnavailable, NotYours):  # the answer itself was not saved, or is deleted
        st.session_state[_key("failed", vote.answer_id)] = True
        return
    wiring.canary_watch().look()
    st.session_state[_key("failed", vote.answer_id)] = False
    st.session_state[_key("vote", vote.answer_id)] = vote


def _stored(owner: str, answer_id: str) -> Feedback | None:
    """The vote as it stands in the store, asked for once a session."""
    key = _key("vote", answer_id)
    if key not in st.session_state:
        try:
            st.session_state[key] = wiring.store().feedback_of(owner, answer_id)
        except StoreUnavailable:
            return None
    vote: Feedback | None = st.session_state[key]
    return vote


def _key(part: str, answer_id: str) -> str:
    return f"{part}-{answer_id}"
