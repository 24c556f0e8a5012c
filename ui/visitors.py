"""Who is asking, without an account: a signed cookie that the server sets on the first visit and the page reads.

The cookie holds a random key and its signature. The key owns the visitor's conversations; whoever changes it is a stranger
with an empty history.
"""

from __future__ import annotations

import secrets
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING

import streamlit as st
from itsdangerous import BadSignature, Signer

from ui import wiring

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "agri_visitor"
KEPT_SECONDS = 365 * 24 * 3600


def _signer() -> Signer:
    return Signer(wiring.visitor_secret(), salt="visitor")


def new_cookie() -> str:
    """Return the cookie of a visitor nobody knows yet."""
    return _signer().sign(secrets.token_urlsafe(24)).decode("ascii")


def key_in(cookie: str | None) -> str | None:
    """Return the visitor's key from a cookie, or None where it is missing or its signature is not ours."""
    if not cookie:
        return None
    try:
        return _signer().unsign(cookie).decode("ascii")
    except (BadSignature, UnicodeDecodeError):
        return None


def owner() -> str:
    """Return the key of whoever looks at this page; without cookies one that lasts as long as the page is open."""
    known = key_in(st.context.cookies.get(COOKIE))
    if known is not None:
        return known
    return str(st.session_state.setdefault("passing_visitor", secrets.token_urlsafe(24)))


class VisitorCookie:
    """Gives a new visitor a cookie with the first page; plain ASGI, so that streams and uploads pass untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the cookie to the answer where a page is asked for without a valid one."""
        if scope["type"] != "http" or scope["method"] != "GET" or not _is_page(scope["path"]) or key_in(_cookie_of(scope)):
            await self.app(scope, receive, send)
            return
        cookie = f"{COOKIE}={new_cookie()}; Path=/; Max-Age={KEPT_SECONDS}; HttpOnly; SameSite=Lax"
        if behind_https(scope):
            cookie += "; Secure"

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"set-cookie", cookie.encode("ascii"))]
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def _is_page(path: str) -> bool:
    """The start page and those beside it, like /sign-in; files and Streamlit's own addresses are none."""
    return path.count("/") == 1 and "." not in path and not path.startswith("/_")


def _header(scope: Scope, name: bytes) -> str:
    return b"; ".join(value for key, value in scope["headers"] if key == name).decode("latin-1")


def _cookie_of(scope: Scope) -> str | None:
    try:
        found = SimpleCookie(_header(scope, b"cookie")).get(COOKIE)
    except CookieError:
        return None
    return found.value if found else None


def behind_https(scope: Scope) -> bool:
    """Whether the visitor sees https, also where a proxy speaks plain http to us."""
    return scope.get("scheme") == "https" or _header(scope, b"x-forwarded-proto").split(",")[0].strip() == "https"
