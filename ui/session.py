"""Who is signed in on this page: a random token in a cookie that no script reads, looked up in the store on every run.

The page itself cannot set a cookie: it gets a ticket from the store and sends the browser to `ui/session_cookie.py` with it.
"""

from __future__ import annotations

import html
from urllib.parse import urlencode

import streamlit as st
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.scriptrunner import get_script_run_ctx

from agri_llm.errors import NotAllowed, StoreUnavailable
from agri_llm.judgements import Account, Role
from ui import visitors, wiring, words
from ui.words import word

COOKIE = "agri_session"
ADDRESS = "/api/session"
_PASSING = "passing_session"  # the token of somebody whose browser keeps no cookies, as long as the page is open


def account() -> Account | None:
    """Return who is signed in, with the role they have at this moment; None for a guest."""
    token = _token()
    if token is None:
        return None
    try:
        return wiring.store().accounts.signed_in(token)
    except StoreUnavailable:
        return None


def is_over() -> bool:
    """Whether this browser was signed in and is no longer: closed account, another password, or too long ago."""
    token = _token()
    if token is None:
        return False
    try:
        return wiring.store().accounts.signed_in(token) is None
    except StoreUnavailable:
        return False


def require(*roles: Role) -> Account:
    """Return who is signed in where they have one of these roles, or any; an administrator has all. Raises NotAllowed."""
    found = account()
    if found is None:
        raise NotAllowed("You are not signed in", "this page is for people with an account", "sign in")
    if roles and found.role != "administrator" and found.role not in roles:
        raise NotAllowed(f"Your account is that of an {found.role}", "this page is for others", "ask an administrator")
    return found


def begin(token: str) -> None:
    """Sign this browser in with the token of a new sign-in, and draw the page anew."""
    browser = visitors.key_in(st.context.cookies.get(visitors.COOKIE))
    if browser is None:
        st.session_state[_PASSING] = token
        st.rerun()
    _send_to(ADDRESS, ticket=wiring.store().accounts.hand_over(token, browser))


def end() -> None:
    """Sign this browser out, and take its cookie away."""
    token = _token()
    st.session_state.pop(_PASSING, None)
    if token is not None:
        wiring.store().accounts.sign_out(token)
    if isinstance(st.context.cookies.get(COOKIE), str):
        _send_to(ADDRESS)
    st.rerun()


def _token() -> str | None:
    passing, kept = st.session_state.get(_PASSING), st.context.cookies.get(COOKIE)
    return str(passing) if passing else kept if isinstance(kept, str) and kept else None


def _send_to(address: str, **query: str) -> None:
    """Let the browser open an address of this server; a link stands on the page for one that does not go by itself."""
    url = f"{address}?{urlencode({**query, words.LANGUAGE: words.language()})}"
    context = get_script_run_ctx()
    if context is not None:
        message = ForwardMsg()
        message.auth_redirect.url = url  # what st.login sends; Streamlit has no public command for it
        context.enqueue(message)
    st.html(f'<p><a href="{html.escape(url)}" target="_self">{html.escape(word("go_on"))}</a></p>')
    st.stop()
