"""Some days later, at the top of the chat: what became of the newest advice? One question a visit, never twice."""

from __future__ import annotations

from typing import get_args

import streamlit as st

from agri_llm.errors import BadInput, NotYours, StoreUnavailable
from agri_llm.judgements import Outcome, Result
from agri_llm.records import Answer, now
from agri_llm.tables import title_of
from ui import wiring
from ui.markup import plain
from ui.words import word

_DUE, _SAID = "outcome-due", "outcome-said"  # the advice in question, looked up once a session


def show(owner: str) -> None:
    """Ask about the newest advice that is due; nothing where there is none or the store does not answer."""
    said = st.session_state.pop(_SAID, None)
    if said:
        st.info(word(said), icon=":material/eco:")
    advice = _due(owner)
    if advice is None:
        return
    with st.container(border=True, key="outcome", gap="small"):
        st.markdown(word("outcome_ask", question=plain(title_of(advice.question.text))))
        with st.container(horizontal=True, gap="small"):
            for result in get_args(Result):
                st.button(word(f"outcome_{result}"), key=f"outcome-{result}", on_click=_told, args=(owner, advice.id, result))
            st.button(word("outcome_later"), key="outcome-skip", type="tertiary", on_click=_told, args=(owner, advice.id, None))


def _due(owner: str) -> Answer | None:
    if _DUE not in st.session_state:
        try:
            st.session_state[_DUE] = wiring.store().awaiting_outcome(owner, now())
        except StoreUnavailable:
            return None
    advice: Answer | None = st.session_state[_DUE]
    return advice


def _told(owner: str, answer_id: str, result: Result | None) -> None:
    try:
        if result is None:
            wiring.store().skip_outcome(owner, answer_id)
        else:
            wiring.store().save_outcome(owner, Outcome(answer_id=answer_id, result=result, author=owner))
            st.session_state[_SAID] = "outcome_thanks"
            wiring.canary_watch().look()
    except (NotYours, BadInput):  # deleted in another tab
        pass
    except StoreUnavailable:
        st.session_state[_SAID] = "photos_not_saved"
        return
    st.session_state[_DUE] = None
