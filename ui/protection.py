"""What every reply of the server carries to protect its readers, and the options without which it does not start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from agri_llm.errors import SettingsInvalid

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Streamlit styles its elements inline; scripts, pictures and connections come from this server alone.
CONTENT_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data:",  # Streamlit's camera reads the photo it took from such an address; none leads anywhere
        "worker-src 'self' blob:",
        "media-src 'self' blob:",
        "frame-ancestors 'none'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
}
# STREAMLIT_* variables count under `streamlit run` only; under plain uvicorn they are ignored without a word.
NEEDED_OPTIONS: dict[str, object] = {
    "client.showErrorDetails": "none",
    "browser.gatherUsageStats": False,
    "server.maxUploadSize": 10,
    "server.enableXsrfProtection": True,
}


class SecurityHeaders:
    """Adds the headers above to every reply; plain ASGI, so that streams and uploads pass untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.headers = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and replace these headers in its reply."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        ours = {name for name, _ in self.headers}

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(name, value) for name, value in message.get("headers", []) if name.lower() not in ours]
                message["headers"] = [*kept, *self.headers]
            await send(message)

        await self.app(scope, receive, send_protected)


def check_options() -> None:
    """Read Streamlit's options back; raises SettingsInvalid naming the first that would leave people unprotected."""
    for name, needed in NEEDED_OPTIONS.items():
        found = st.get_option(name)
        if found != needed:
            raise SettingsInvalid(
                f"Streamlit's option {name} is {found!r} and must be {needed!r}",
                "people would see internals, be counted by others, or send files of any size",
                "start with `streamlit run ui/asgi.py` and keep ui/.streamlit/config.toml beside it",
            )
