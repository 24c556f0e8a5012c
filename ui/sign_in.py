"""Signing in and out, another password, and what a one-time link leads to."""

from __future__ import annotations

import streamlit as st

from agri_llm import passwords
from agri_llm.errors import AgriError
from agri_llm.judgements import Account
from ui import session, wiring
from ui.markup import plain
from ui.words import word

CODE = "code"  # name of the query parameter that holds the code of a one-time link


def show() -> None:
    """Show what fits: the page of a one-time link, one's own account, or the form to sign in."""
    code, account = st.query_params.get(CODE), session.account()
    if code:
        _accept(code)
    elif account is not None:
        _own(account)
    else:
        _sign_in()


def _sign_in() -> None:
    st.title(word("page_sign_in"), anchor=False)
    st.markdown(word("sign_in_about"))
    with st.form("sign-in"):
        name = st.text_input(word("account_name"), key="sign-in-name", max_chars=200, autocomplete="username")
        password = _password(word("password"), "sign-in-password", "current-password")
        wanted = st.form_submit_button(word("page_sign_in"), type="primary")
    if wanted:
        _enter(name, password)


def _accept(code: str) -> None:
    """Make an account, or set a new password, with a link that works once."""
    promised = wiring.store().accounts.invitation(code)
    if promised is None:
        st.title(word("page_sign_in"), anchor=False)
        st.error(word("link_used"), icon=":material/link_off:")
        return
    kind, role, name = promised
    title = "new_password" if kind == "reset" else "link_welcome"
    st.title(word(title), anchor=False)
    st.markdown(word("link_about", role=word(f"role_{role}")))
    with st.form("accept"):
        chosen = st.text_input(
            word("account_name"), value=name, key="accept-name", max_chars=80, autocomplete="username", disabled=kind == "reset"
        )
        password = _new_password("accept-password")
        again = _password(word("password_again"), "accept-again", "new-password")
        wanted = st.form_submit_button(word("link_use"), type="primary")
    if wanted and password != again:
        st.error(word("passwords_differ"), icon=":material/error:")
    elif wanted:
        try:
            account = wiring.store().accounts.accept(code, chosen, password)
        except AgriError as error:
            st.error(plain(str(error)), icon=":material/error:")
            return
        del st.query_params[CODE]
        _enter(account.name, password)


def _own(account: Account) -> None:
    st.title(word("page_account"), anchor=False)
    st.markdown(word("signed_in_as", name=plain(account.name), role=word(f"role_{account.role}")))
    if st.button(word("sign_out"), icon=":material/logout:", key="sign-out"):
        session.end()
    with st.form("change-password"):
        st.markdown(f"#### {plain(word('new_password'))}", anchors=False)
        old = _password(word("password_now"), "password-now", "current-password")
        new = _new_password("password-new")
        again = _password(word("password_again"), "password-again", "new-password")
        wanted = st.form_submit_button(word("vote_save"))
    if wanted and new != again:
        st.error(word("passwords_differ"), icon=":material/error:")
    elif wanted:
        try:
            wiring.store().accounts.change_password(account.id, old, new)
        except AgriError as error:
            st.error(plain(str(error)), icon=":material/error:")
            return
        _enter(account.name, new)  # every browser is signed out, this one comes in again


def _enter(name: str, password: str) -> None:
    try:
        _, token = wiring.store().accounts.sign_in(name, password)
    except AgriError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    session.begin(token)


def _new_password(key: str) -> str:
    label = word("password_new", shortest=str(passwords.SHORTEST))
    return _password(label, key, "new-password")


def _password(label: str, key: str, kind: str) -> str:
    return st.text_input(label, key=key, type="password", max_chars=passwords.LONGEST, autocomplete=kind)
