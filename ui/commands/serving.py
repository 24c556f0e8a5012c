"""Starts the web page: the checks that can fail come first, then Streamlit runs in this very process."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from agri_llm.errors import BadInput

PAGE = Path(__file__).resolve().parent.parent / "asgi.py"


def checked_address(address: str | None, port: int) -> str:
    """Return the address to listen on, this machine's own by default; raises BadInput where the port cannot be had."""
    # Other machines reach the page only where an operator says so; containers say it with Streamlit's own variable.
    host = address or os.environ.get("STREAMLIT_SERVER_ADDRESS") or "127.0.0.1"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(found[0], found[1]) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(found[4])
    except OSError as error:
        raise _not_free(host, port, error) from error
    return host


@contextlib.contextmanager
def until_stopped() -> Iterator[None]:
    """Let Ctrl-C and a request to stop (SIGTERM) end the program with status 0 and without a word."""
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(address: str, port: int) -> None:
    """Serve the page until the program is asked to stop; visitors' requests under way are finished first."""
    from click.exceptions import Abort
    from streamlit.web import cli as streamlit

    options = {
        "server.address": address,
        "server.port": str(port),
        "server.headless": "true",
        "logger.hideWelcomeMessage": "true",
    }
    # The server stops in order, then raises the signal again to end the program as the signal would; click makes it Abort.
    with contextlib.suppress(Abort):
        streamlit.main(["run", str(PAGE), *(f"--{name}={value}" for name, value in options.items())], standalone_mode=False)


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def _not_free(host: str, port: int, error: OSError) -> BadInput:
    if error.errno == errno.EADDRINUSE:
        return BadInput(
            f"Port {port} is in use", "another program answers there", f"stop it, or choose another with --port {port + 1}"
        )
    if error.errno == errno.EACCES:
        return BadInput(f"Port {port} is reserved", "ports below 1024 need special rights", "choose another with --port 8501")
    return BadInput(
        f"{host} cannot be listened on ({(error.strerror or str(error)).lower()})",
        "nobody could open the page",
        "give an address of this machine with --address",
    )
