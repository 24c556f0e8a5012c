"""The administrator's page: who has an account, links for new people and lost passwords, roles, closing accounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args
from urllib.parse import urlencode, urlsplit

import streamlit as st

from agri_llm.errors import AgriError
from agri_llm.judgements import Account, Role
from ui import session, wiring
from ui.markup import plain
from ui.sign_in import CODE
from ui.words import word

ROLES: tuple[Role, ...] = get_args(Role)
_LINK, _PROBLEM = "accounts-link", "accounts-problem"  # what the last click gave, shown once


def show() -> None:
    """Show everybody, and what can be done about them."""
    me = session.require("administrator")
    st.title(word("page_accounts"), anchor=False)
    _said()
    _invite(me)
    for each in wiring.store().accounts.everyone(me.id):
        _row(me, each)


def _said() -> None:
    problem, link = st.session_state.pop(_PROBLEM, None), st.session_state.pop(_LINK, None)
    if problem:
        st.error(plain(problem), icon=":material/error:")
    if link:
        st.success(word("link_made"), icon=":material/link:")
        st.code(link, language=None, wrap_lines=True)


def _invite(me: Account) -> None:
    with st.form("invite", clear_on_submit=True):
        st.text_input(word("invite_name"), key="invite-name", max_chars=80, autocomplete="off")
        st.segmented_control(
            word("role"),
            ROLES,
            key="invite-role",
            default=ROLES[0],
            required=True,
            format_func=lambda role: word(f"role_{role}"),
        )
        st.form_submit_button(word("invite"), type="primary", icon=":material/person_add:", on_click=_invited, args=(me,))


def _row(me: Account, each: Account) -> None:
    with st.container(border=True, key=f"account-{each.id}"):
        name = f"**{plain(each.name)}**" + (f" ({plain(word('account_you'))})" if each.id == me.id else "")
        st.markdown(name if each.active else f"{name}: {plain(word('account_closed'))}")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            if not each.active:
                _button("account_open", each, lambda: wiring.store().accounts.activate(me.id, each.id))
                return
            key = f"role-{each.id}"
            st.session_state[key] = each.role
            st.selectbox(
                word("role"), ROLES, key=key, format_func=lambda role: word(f"role_{role}"), on_change=_role, args=(me, each)
            )
            _button("account_reset", each, lambda: _keep_link(wiring.store().accounts.reset_link(me.id, each.id)))
            _button("account_close", each, lambda: wiring.store().accounts.deactivate(me.id, each.id))


def _button(key: str, each: Account, act: Callable[[], None]) -> None:
    st.button(word(key), key=f"{key}-{each.id}", on_click=_tried, args=(act,))


def _invited(me: Account) -> None:
    said = st.session_state
    role: Role = said["invite-role"]
    _tried(lambda: _keep_link(wiring.store().accounts.invite(me.id, role, str(said["invite-name"]))))


def _role(me: Account, each: Account) -> None:
    role: Role = st.session_state[f"role-{each.id}"]
    _tried(lambda: wiring.store().accounts.set_role(me.id, each.id, role))


def _tried(act: Callable[[], None]) -> None:
    try:
        act()
    except AgriError as error:
        st.session_state[_PROBLEM] = str(error)


def _keep_link(code: str) -> None:
    here = urlsplit(st.context.url or "")
    origin = f"{here.scheme}://{here.netloc}" if here.netloc else ""
    st.session_state[_LINK] = f"{origin}/?{urlencode({CODE: code})}"
