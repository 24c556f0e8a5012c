"""The page of experts: one answer after the other, without knowing who wrote it, judged with keys or clicks."""

from __future__ import annotations

import streamlit as st

from agri_llm.judgements import Account
from agri_llm.queue import Waiting
from ui import comparison_form, drafts, review_form, review_item, session
from ui.words import word


def show() -> None:
    """Show the item that teaches most, what is asked about it, and below how to save and go on."""
    st.set_page_config(layout="wide")
    _judging(session.require("agronomist"))


@st.fragment
def _judging(account: Account) -> None:
    """Everything that changes with a key, as a fragment: of a whole page Streamlit drops a run that has not begun when the next
    key comes, and the key with it; runs of a fragment wait for each other. The store looks up the role at each action.
    """
    draft = drafts.current(account)
    if draft is None:
        _nothing(account)
        return
    draft.pressed.clear()
    _head(draft.done_today, draft.waits)
    if draft.item.kind == "comparison":
        comparison_form.show(account, draft)
        return
    seen, judged = st.columns([3, 2], gap="large")
    with seen:
        review_item.show(account, draft)
    with judged:
        review_form.show(account, draft)
    review_form.bar(account, draft)


def _head(done: int, waits: Waiting) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="review-head"):
        st.markdown(f"#### {word('page_review')}", anchors=False, width="content")
        st.caption(word("review_today", done=str(done), waiting=str(waits.total)), width="content")
        if waits.by_reason:
            with st.popover(word("review_what_waits"), type="tertiary", key="review-waiting"):
                for reason, count in waits.by_reason.items():
                    st.markdown(word("review_waits", count=str(count), why=word(f"why_{reason}")))


def _nothing(account: Account) -> None:
    st.title(word("page_review"), anchor=False)
    st.info(word("review_nothing"), icon=":material/task_alt:")
    st.caption(word("review_today", done=str(drafts.done_today(account)), waiting=str(0)))
    st.button(word("review_look_again"), key="review-again", on_click=drafts.leave)
