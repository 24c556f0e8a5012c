"""What every command does first and last: reads the settings, prints results and errors, sets the exit status."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import typer

from agri_llm.errors import AgriError

if TYPE_CHECKING:
    from agri_llm.settings import Settings


def start(index: Path | None = None, port: int | None = None) -> Settings:
    """Read the settings, over which the command line goes, and say on standard error which are not the defaults."""
    from ui import wiring
    from ui.commands import origins, quiet

    given = {name: str(value) for name, value in (("index", index), ("port", port)) if value is not None}
    os.environ.update({f"AGRI_{name.upper()}": value for name, value in given.items()})
    if index is not None:  # the folder that was named goes before a database that is set
        os.environ["AGRI_INDEX_DATABASE"] = ""
    chosen = wiring.settings()
    quiet.hush(chosen)
    changed = origins.changed(given)
    if changed:
        print(f"Settings: {changed}", file=sys.stderr)
    return chosen


def open_index(index: Path | None) -> Settings:
    """Like `start`; the default index is built or renewed where needed, a named one must be there."""
    from ui import wiring
    from ui.commands import indexing

    chosen = start(index)
    if index is None:
        indexing.prepare()
    else:
        wiring.knowledge_base()
    return chosen


def say(text: str, out: TextIO) -> None:
    """Print a result at once."""
    print(text, file=out, flush=True)


def tell(error: AgriError) -> int:
    """Say on standard error what is wrong, on one line; 1, to be counted."""
    print(" ".join(str(error).split()), file=sys.stderr, flush=True)
    return 1


def end(problems: int) -> None:
    """End with status 1 where something went wrong."""
    if problems:
        raise typer.Exit(1)
