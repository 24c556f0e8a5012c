"""The `agri accounts` commands: the first administrator's link, and who has an account."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from agri_llm.errors import BadInput
from ui.commands.console import say, start

if TYPE_CHECKING:
    from agri_llm.settings import Settings

app = typer.Typer(help="Let the first administrator in, and see who has an account.", no_args_is_help=True)


@app.command("link")
def link() -> None:
    """Print a one-time link with which the first administrator makes an account; one printed before stops working."""
    from ui import wiring

    chosen = start()
    wiring.store().migrate()
    address = first_address(chosen)
    if address is None:
        raise BadInput(
            "There is an administrator already",
            "this link is for the first one only",
            "ask them for a link on the page of accounts; `agri accounts list` shows who they are",
        )
    say(address, sys.stdout)


@app.command("list")
def listed() -> None:
    """List the accounts with their roles."""
    from ui import wiring
    from ui.commands.rendering import columns

    start()
    wiring.store().migrate()
    found = wiring.store().accounts.listed()
    lines = [[each.name, each.role, "active" if each.active else "closed", f"{each.created_at:%Y-%m-%d}"] for each in found]
    say(columns(lines) if lines else "Nobody has an account; `agri accounts link` lets the first administrator in.", sys.stdout)


def first_address(chosen: Settings) -> str | None:
    """Return the address with which the first administrator comes in, or None where there is one."""
    from ui import wiring

    code = wiring.store().accounts.first_link()
    if code is None:
        return None
    place = f"https://{chosen.public_host}" if chosen.public_host else f"http://localhost:{chosen.port}"
    return f"{place}/?code={code}"
