"""The address that gives a browser its cookie, or takes it away: only the server can set one that no script reads."""

from __future__ import annotations

import logging
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse

from agri_llm.errors import AgriError
from agri_llm.sign_ins import KEPT
from ui import visitors, wiring, words
from ui.session import COOKIE

_LOG = logging.getLogger("agri.server")


def session_cookie(request: Request) -> RedirectResponse:
    """Change a ticket into the cookie and go to the start page; without a good one a cookie that has ended is removed.

    The ticket works in the browser for which it was made, so nobody is signed in to another's account by a link, and a
    cookie that is still good stays, so nobody is signed out by one.
    """
    language = request.query_params.get(words.LANGUAGE, "")
    home = f"/?{urlencode({words.LANGUAGE: language})}" if language in words.LANGUAGES else "/"
    reply = RedirectResponse(home, 303, headers={"Cache-Control": "no-store"})
    secure = visitors.behind_https(request.scope)
    try:
        accounts, held = wiring.store().accounts, request.cookies.get(COOKIE)
        browser = visitors.key_in(request.cookies.get(visitors.COOKIE))
        ticket = request.query_params.get("ticket")
        token = accounts.take_over(ticket, browser) if ticket and browser else None
        if token is not None:
            kept = int(KEPT.total_seconds())
            reply.set_cookie(COOKIE, token, max_age=kept, path="/", secure=secure, httponly=True, samesite="lax")
        elif held and accounts.signed_in(held) is None:
            reply.delete_cookie(COOKIE, path="/", secure=secure, httponly=True, samesite="lax")
    except AgriError as error:
        _LOG.warning("%s", error)
    return reply
