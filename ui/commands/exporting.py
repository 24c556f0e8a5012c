"""`agri export`: options in, progress on standard error, the card as result."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ui.commands.console import say


class Kind(StrEnum):
    """In which form a run is exported."""

    adapter = "adapter"
    merged = "merged"
    int8 = "int8"
    nf4 = "nf4"
    gguf = "gguf"
    pruned = "pruned"


class GgufType(StrEnum):
    """In which numbers a GGUF file holds its weights."""

    f16 = "f16"
    q8_0 = "q8_0"


Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished training of a language model.")]


def export(
    run: Run,
    to: Annotated[Kind, typer.Option(help="Form of the export.")],
    out: Annotated[Path, typer.Option(help="Folder of the export; it must not be there yet.")],
    check: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Rows to judge by; those the run held out if none.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="Where the base of the run lies now, if it was moved.")] = None,
    gguf_type: Annotated[GgufType, typer.Option("--type", help="Numbers of a GGUF file.")] = GgufType.q8_0,
    layers: Annotated[int, typer.Option(min=0, help="How many layers --to pruned leaves out.")] = 0,
    allow_worse: Annotated[bool, typer.Option("--allow-worse", help="Keep it although it got worse than the limit.")] = False,
) -> None:
    """Write what a run learned for others to load, and say what that costs on held-out rows."""
    from ui.commands import adapting, quiet

    adapting.prepare()
    with quiet.results() as results:
        from training import export as exports
        from training import export_card

        wanted = exports.Wanted(
            run=run, kind=to.value, out=out, base=base, check=check, gguf_type=gguf_type.value, layers=layers,
            allow_worse=allow_worse,
        )  # fmt: skip
        adapting.tell_of_one(f"Settings: {', '.join(f'{name}={value}' for name, value in vars(wanted).items())}")
        card = exports.export(wanted, adapting.tell_of_one)
        say(f"{export_card.text(card)}\n\nThe export is in {out}.", results)
