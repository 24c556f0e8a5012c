"""The `agri train` commands: what each is called, and what a training of a language model reads from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ui.commands import chain, photos
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


@app.command("distil", context_settings=_ANY_FLAG)
def distil(context: typer.Context, config: Config) -> None:
    """Let a small model learn from a larger one, on its own answers; every setting is a flag too, like --teacher FOLDER."""
    from ui.commands import adapting, quiet

    with quiet.results() as results:
        say(f"What was learned is in {adapting.distil(config, context.args)}.", results)


@app.command("dpo", context_settings=_ANY_FLAG)
def dpo(context: typer.Context, config: Config) -> None:
    """Teach a model what people prefer, from pairs of answers; goes on from --start RUN; every setting is a flag too."""
    from ui.commands import adapting, quiet

    with quiet.results() as results:
        say(f"What was learned is in {adapting.align('dpo', config, context.args)}.", results)


@app.command("kto", context_settings=_ANY_FLAG)
def kto(context: typer.Context, config: Config) -> None:
    """Teach a model what people find good and bad; goes on from --start RUN; every setting is a flag too."""
    from ui.commands import adapting, quiet

    with quiet.results() as results:
        say(f"What was learned is in {adapting.align('kto', config, context.args)}.", results)


@app.command("reward", context_settings=_ANY_FLAG)
def reward(context: typer.Context, config: Config) -> None:
    """Train a model that scores answers as experts prefer them, with a report of how far it agrees; every setting is a flag."""
    from ui.commands import adapting, quiet

    with quiet.results() as results:
        say(f"What was learned is in {adapting.align('reward', config, context.args)}.", results)


@app.command("grpo", context_settings=_ANY_FLAG)
def grpo(context: typer.Context, config: Config) -> None:
    """Let a model learn from its own answers, compared in groups; goes on from --start RUN; every setting is a flag too."""
    from ui.commands import adapting, quiet

    with quiet.results() as results:
        say(f"What was learned is in {adapting.online('grpo', config, context.args)}.", results)


@app.command("rloo", context_settings=_ANY_FLAG)
def rloo(context: typer.Context, config: Config) -> None:
    """Let a model learn from its own answers, each against the rest; goes on from --start RUN; every setting is a flag."""
    from ui.commands import adapting, quiet

    with quiet.results() as results:
        say(f"What was learned is in {adapting.online('rloo', config, context.args)}.", results)


@app.command("plan", context_settings=_ANY_FLAG)
def plan(
    context: typer.Context,
    config: Config,
    pretrain: Annotated[bool, typer.Option("--pretrain", help="Plan `agri train pretrain`, not `agri train sft`.")] = False,
    tokens_per_second: Annotated[float | None, typer.Option(min=0.001, help="Speed of all GPUs together.")] = None,
    measured: Annotated[Path | None, typer.Option(metavar="RUN", help="Finished run whose speed is taken.")] = None,
    price: Annotated[float | None, typer.Option(min=0, help="What a GPU costs an hour.")] = None,
    gpus: Annotated[int, typer.Option(min=1, help="How many GPUs share the work.")] = 1,
    card_gib: Annotated[float | None, typer.Option(min=0.1, help="Memory of a GPU; says whether it fits.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
) -> None:
    """Say what a training will take, by the same file and flags: memory, tokens, steps, time, money, scaling laws."""
    from ui.commands import adapting, quiet

    adapting.prepare()
    costs = {"tokens_per_second": tokens_per_second, "price": price, "card_gib": card_gib}
    with quiet.results() as out:
        from ui.commands import planning

        found = planning.planned("pretrain" if pretrain else "sft", config, context.args, measured, costs, gpus)
        say(planning.text(found, as_json=as_json), out)


app.command("chain")(chain.chain)
app.command("photos")(photos.train_photos)
app.command("scope")(photos.train_scope)
app.command("corrections")(photos.train_corrections)
