"""The web server: `streamlit run ui/asgi.py`. Adds visitor cookies, security headers and /api/health to the page."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from streamlit.starlette import App

from agri_llm.errors import AgriError, SettingsInvalid
from ui import failures, session, warming, wiring
from ui.protection import SecurityHeaders, check_options
from ui.session_cookie import session_cookie
from ui.visitors import VisitorCookie

_LOG = logging.getLogger("agri.server")


def health(request: Request) -> JSONResponse:
    """Say whether questions can be answered: 200, or 503 while the index cannot be opened."""
    try:
        wiring.knowledge_base()
    except AgriError as error:
        _LOG.warning("%s", error)
        return JSONResponse({"status": "unavailable"}, status_code=503)
    return JSONResponse({"status": "ok"})


@asynccontextmanager
async def prepared(app: App) -> AsyncIterator[dict[str, Any]]:
    """Get tables, index and writer ready before the first visitor; what fails is logged and told on the page."""
    for step in (lambda: wiring.store().migrate(), wiring.prepare_index, wiring.assistant, warming.first_search):
        try:
            await asyncio.to_thread(step)
        except (AgriError, OSError) as error:
            _LOG.error("%s", error)
    warming.begin_first_photo()
    yield {}


def _middleware() -> list[Middleware]:
    host = wiring.settings().public_host
    known = [Middleware(TrustedHostMiddleware, allowed_hosts=[host, "localhost", "127.0.0.1"])] if host else []
    return [*known, Middleware(SecurityHeaders), Middleware(VisitorCookie)]


try:
    wiring.visitor_secret()
    app = App(
        Path(__file__).resolve().with_name("app.py"),
        routes=[Route("/api/health", health), Route(session.ADDRESS, session_cookie)],
        middleware=_middleware(),
        lifespan=prepared,
        on_script_error=failures.show,
    )
    check_options()
except SettingsInvalid as error:
    raise SystemExit(f"{error}") from None
