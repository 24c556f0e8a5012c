"""The `agri train` commands: what each is called, and what a training of a language model reads from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ui.commands import photos
from ui.commands.console import say

app = typer.Typer(help="Train models from data.", no_args_is_help=True)
Config = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A YAML file, like those of training/configs.")]
_ANY_FLAG = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command("sft", context_settings=_ANY_FLAG)
def sft(context: typer.Context, config: Config) -> None:
    """Teach a language model our form of answering; every setting is a flag too, like --learning_rate 1e-4."""
    from ui.commands import adapting, quiet

    with quiet.results() as results:
        say(f"What was learned is in {adapting.train('sft', config, context.args)}.", results)


@app.command("pretrain", context_settings=_ANY_FLAG)
def pretrain(context: typer.Context, config: Config) -> None:
    """Go on pretraining a language model on documents; every setting is a flag too, like --data FOLDER."""
    from ui.commands import adapting, quiet

    with quiet.results() as results:
        say(f"What was learned is in {adapting.train('pretrain', config, context.args)}.", results)


app.command("photos")(photos.train_photos)
app.command("scope")(photos.train_scope)
app.command("corrections")(photos.train_corrections)
