"""`agri export` and `agri train distil`: options in, progress on standard error, the card or one line of result."""

from __future__ import annotations

import os
import sys
import warnings
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


ConfigFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A YAML file, like those of training/configs.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished training of a language model.")]


def register(app: typer.Typer, train_app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("export")(export)
    train_app.command("distil", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(distil)


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
    from ui.commands import quiet

    _hush()
    with quiet.results() as results:
        from training import export as exports
        from training import export_card

        wanted = exports.Wanted(
            run=run, kind=to.value, out=out, base=base, check=check, gguf_type=gguf_type.value, layers=layers,
            allow_worse=allow_worse,
        )  # fmt: skip
        _tell(f"Settings: {', '.join(f'{name}={value}' for name, value in vars(wanted).items())}")
        card = exports.export(wanted, _tell)
        say(f"{export_card.text(card)}\n\nThe export is in {out}.", results)


def distil(context: typer.Context, config: ConfigFile) -> None:
    """Let a small model learn from a larger one, on its own answers; every setting is a flag too, like --teacher FOLDER."""
    from ui.commands import quiet

    _hush()
    with quiet.results() as results:
        from training import distil, distil_config

        chosen = distil_config.read(config, context.args)
        main = os.environ.get("RANK", "0") == "0"  # of several processes one speaks
        _tell(f"Settings: {distil_config.described(chosen)}")
        say(f"What was learned is in {distil.train(chosen, _tell if main else lambda _: None)}.", results)


def _hush() -> None:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
