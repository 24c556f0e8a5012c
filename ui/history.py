"""The sidebar: a new chat, earlier conversations to find, open and delete, and the language."""

from __future__ import annotations

import streamlit as st

from agri_llm.store import ConversationSummary
from ui import conversations, words
from ui.conversations import Conversation
from ui.markup import plain
from ui.words import LANGUAGE, word

LISTED_AT_ONCE = 30
SEARCH_FROM = 4  # with fewer conversations a search box is in the way


def language_switch() -> None:
    """Let the visitor choose the language of the page; the choice stays in the page's address."""
    st.session_state.setdefault(LANGUAGE, words.language())
    st.segmented_control(
        word("language"),
        words.LANGUAGES,
        format_func=lambda code: word(f"language_{code}"),
        required=True,
        key=LANGUAGE,
        on_change=_remember_language,
        label_visibility="collapsed",
    )


def _remember_language() -> None:
    st.query_params[LANGUAGE] = st.session_state[LANGUAGE]


def show(owner: str, talk: Conversation) -> None:
    """Show the list of conversations, newest first."""
    st.button(
        word("new_chat"),
        icon=":material/add:",
        width="stretch",
        key="new-chat",
        type="primary" if talk.turns else "secondary",
        on_click=conversations.begin,
    )
    st.markdown(f"#### {plain(word('history'))}", anchors=False)
    search_place = st.container()
    search = str(st.session_state.get("search", ""))
    limit = int(st.session_state.setdefault("listed", LISTED_AT_ONCE))
    found = conversations.listed(owner, search, limit)
    if search or len(found) >= SEARCH_FROM:
        with search_place:
            st.text_input(
                word("search"),
                key="search",
                type="search",
                placeholder=word("search"),
                live=True,
                max_chars=200,
                label_visibility="collapsed",
            )
    if not found:
        st.caption(word("nothing_found") if search else word("no_history"))
    with st.container(key="history", gap=None):
        for summary in found:
            _row(owner, talk, summary)
    if len(found) == limit:
        st.button(word("more_conversations"), key="more-conversations", type="tertiary", on_click=_list_more)


def _row(owner: str, talk: Conversation, summary: ConversationSummary) -> None:
    is_open = summary.id == talk.id
    with st.container(horizontal=True, wrap=False, gap=None, vertical_alignment="center", key=f"row-{summary.id}"):
        st.button(
            f"**{plain(summary.title)}**" if is_open else plain(summary.title),
            key=f"open-{summary.id}",
            type="tertiary",
            width="stretch",
            on_click=conversations.open_one,
            args=(owner, summary.id),
        )
        if st.button(
            word("delete_this", title=plain(summary.title)),  # for screen readers; the eye sees the bin alone
            icon=":material/delete:",
            key=f"delete-{summary.id}",
            type="tertiary",
        ):
            _confirm(owner, talk, summary)


def _confirm(owner: str, talk: Conversation, summary: ConversationSummary) -> None:
    @st.dialog(word("delete_title"))
    def confirmation() -> None:
        st.markdown(word("delete_question", title=plain(summary.title)))
        with st.container(horizontal=True, horizontal_alignment="right"):
            if st.button(word("cancel"), key="delete-no"):
                st.rerun()
            if st.button(
                word("delete"),
                key="delete-yes",
                type="primary",
                icon=":material/delete:",
                on_click=conversations.delete,
                args=(owner, talk, summary.id),
            ):
                st.rerun()

    confirmation()


def _list_more() -> None:
    st.session_state["listed"] = int(st.session_state["listed"]) + LISTED_AT_ONCE
