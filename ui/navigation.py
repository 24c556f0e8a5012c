"""Which pages there are for whom. The list is made anew on every run from the role in the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import streamlit as st

from agri_llm.judgements import Account, Role
from ui import chat, history, session, sign_in, words
from ui.markup import plain
from ui.words import word

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A page: `show()` of a module, the last part of its address, and who may open it."""

    path: str
    module: str
    icon: str
    roles: tuple[Role, ...]

    def title(self) -> str:
        """Return what the page is called in the menu."""
        return word(f"page_{self.path}")


# A further page is one line here and its name `page_PATH` in ui/locales. Modules are read when their page is opened, so
# farmers' pages load nothing of them.
ENTRIES = (
    Entry(path="review", module="ui.review_page", icon=":material/rate_review:", roles=("agronomist",)),
    Entry(path="agreement", module="ui.agreement_page", icon=":material/handshake:", roles=("agronomist",)),
    Entry(path="training", module="ui.training_page", icon=":material/model_training:", roles=("administrator",)),
    Entry(path="accounts", module="ui.accounts_page", icon=":material/group:", roles=("administrator",)),
)


def show() -> None:
    """Show the page that was asked for, to whoever looks at it."""
    words.keep_language()
    account, is_over = session.account(), session.is_over()
    start = st.Page(_start, title=word("page_chat"), icon=":material/chat:", default=True)
    signing = st.Page(
        sign_in.show, title=word("page_account" if account else "page_sign_in"), icon=":material/login:", url_path="sign-in"
    )
    pages = [start, *(_page(entry, in_menu=is_over or _may(account, entry)) for entry in ENTRIES), signing]
    page = st.navigation(pages, position="sidebar" if account else "hidden", expanded=True)
    if is_over:
        _say_it_is_over()
    if page is not start or sign_in.CODE in st.query_params:
        with st.sidebar:
            history.language_switch()
    page.run()
    _who(account, signing if page is not signing else start)


def _start() -> None:
    if sign_in.CODE in st.query_params:
        sign_in.show()
    else:
        chat.show()


def _may(account: Account | None, entry: Entry) -> bool:
    return account is not None and (account.role == "administrator" or account.role in entry.roles)


def _page(entry: Entry, *, in_menu: bool) -> StreamlitPage:
    """The page of an entry; who follows a link to one that is not for them reads why, and not that there is none."""

    def show_it() -> None:
        if session.is_over():
            return
        session.require(*entry.roles)
        shown: Callable[[], None] = import_module(entry.module).show
        shown()

    return st.Page(
        show_it, title=entry.title(), icon=entry.icon, url_path=entry.path, visibility="visible" if in_menu else "hidden"
    )


def _say_it_is_over() -> None:
    st.warning(word("session_over"), icon=":material/logout:")
    if st.button(word("go_on"), key="session-over"):
        session.end()


def _who(account: Account | None, other: StreamlitPage) -> None:
    with st.sidebar:
        if account is None:
            st.page_link(other)
        else:
            st.caption(word("signed_in_as", name=plain(account.name), role=word(f"role_{account.role}")))
