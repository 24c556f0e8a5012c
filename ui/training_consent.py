"""May a training learn from what this visitor wrote? Asked once, off until they say yes, and taken back at any time."""

from __future__ import annotations

import streamlit as st

from agri_llm.errors import StoreUnavailable
from ui import wiring
from ui.words import word

_ANSWERED = "training-answered"  # what the session remembers: None before the question, then yes or no
_BOX, _REDRAW = "training-allowed", "training-redraw"


def ask(owner: str, answer_id: str) -> None:
    """Ask below an answer, unless the question was answered or the store does not answer."""
    if st.session_state.pop(_REDRAW, False):
        st.rerun()  # the box beside the chat shows the answer too
    said = st.session_state.pop(f"training-said-{answer_id}", None)
    if said:
        st.caption(word(said))
    if not _is_open(owner):
        return
    with st.container(key=f"training-{answer_id}", gap="small"):
        st.caption(word("training_ask"))
        with st.container(horizontal=True):
            for yes, label in ((True, "training_yes"), (False, "training_no")):
                st.button(word(label), key=f"{label}-{answer_id}", on_click=_answered, args=(owner, answer_id, yes))


def your_data(owner: str) -> None:
    """Show what was agreed to, to be changed, in the panel beside the chat."""
    if _is_open(owner) is None:
        return
    with st.expander(word("your_data"), icon=":material/shield_person:"):
        st.session_state[_BOX] = bool(st.session_state.get(_ANSWERED))
        st.checkbox(word("training_allowed"), key=_BOX, on_change=_chosen, args=(owner,))
        st.caption(word("training_about"))
        if st.session_state.get("training-failed"):
            st.warning(word("photos_not_saved"), icon=":material/cloud_off:")


def _is_open(owner: str) -> bool | None:
    """Whether the question waits for an answer; None where the store does not answer. Looked up once a session."""
    if _ANSWERED not in st.session_state:
        try:
            consents = wiring.store().consents
            st.session_state[_ANSWERED] = consents.is_allowed(owner) if consents.asked(owner) else None
        except StoreUnavailable:
            return None
    return st.session_state[_ANSWERED] is None


def _answered(owner: str, answer_id: str, yes: bool) -> None:
    kept = st.session_state[_REDRAW] = _keep(owner, yes)
    st.session_state[f"training-said-{answer_id}"] = (
        ("training_thanks" if yes else "training_never") if kept else "photos_not_saved"
    )


def _chosen(owner: str) -> None:
    _keep(owner, bool(st.session_state[_BOX]))


def _keep(owner: str, yes: bool) -> bool:
    consents = wiring.store().consents
    try:
        if yes:
            consents.allow(owner)
        elif st.session_state.get(_ANSWERED):
            consents.withdraw(owner)
        else:
            consents.decline(owner)
    except StoreUnavailable:
        st.session_state["training-failed"] = True
        return False
    st.session_state["training-failed"] = False
    st.session_state[_ANSWERED] = yes
    return True
