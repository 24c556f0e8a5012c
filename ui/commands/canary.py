"""`agri canary begin | status | stop`: a share of the conversations gets a candidate first, and harm stops it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agri_llm.errors import BadInput
from ui.commands.console import say, start

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from agri_llm.promotions import Promotions

app = typer.Typer(
    help="Let a share of the conversations get a candidate first; it is stopped when it harms.", no_args_is_help=True
)


@app.command()
def begin(
    run: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="A run that the gate let in.")],
    share: Annotated[float, typer.Option(help="Share of the conversations, above 0 and at most 0.5.")] = 0.1,
    despite_few: Annotated[
        bool, typer.Option("--despite-few", help="Also where all the gate says against it is that comparisons are too few.")
    ] = False,
) -> None:
    """Give a candidate to a share of the conversations; programs that serve follow within seconds, without a restart."""
    from agri_llm.judgements import Promotion
    from training import retrain as steps

    start()
    run = run.absolute()
    verdict = steps.verdict_of(run)
    _check_gate(run, verdict, despite_few=despite_few)
    promotions = _promotions()
    _check_served(run, promotions)
    canary = Promotion(
        kind="canary",
        adapter=str(run / "adapter"),
        by="agri canary",
        sha256=steps.adapter_hash(run),
        share=share,
        run=run.name,
        verdict=verdict,
        reasons=tuple(verdict["reasons"]),
    )
    promotions.begin_canary(canary)
    say(f"Begun: {run.name} answers {share:.0%} of the conversations; `agri canary status` tells how it does.", sys.stdout)


def _check_gate(run: Path, verdict: Mapping[str, Any], *, despite_few: bool) -> None:
    """Raise BadInput where the gate keeps a run out for more than too few comparisons, or for that without leave."""
    from training import gate

    if verdict["promote"]:
        return
    few = gate.lacks_only_comparisons(verdict)
    if few and despite_few:
        return
    reasons = " ".join(verdict["reasons"]).rstrip(".")
    remedy = "try it all the same with --despite-few, or get more comparisons" if few else "train again with more ratings"
    raise BadInput(f"The gate keeps {run} out", reasons, remedy)


def _check_served(run: Path, promotions: Promotions) -> None:
    """Raise BadInput where no program would follow a canary, or its answers could not be told from those in use."""
    from agri_llm.judgements import adapter_name
    from ui import wiring

    chosen = wiring.settings()
    if chosen.writer != "local" or chosen.adapter:
        raise BadInput(
            f"AGRI_ADAPTER is {chosen.adapter}" if chosen.writer == "local" else f"AGRI_WRITER is {chosen.writer}",
            "no decision is followed there, so nobody would get the candidate",
            "set AGRI_WRITER=local and leave AGRI_ADAPTER empty",
        )
    current = promotions.current()
    if current is not None and current.adapter and adapter_name(current.adapter) == run.name:
        raise BadInput(f"{current.adapter} is in use", "answers of the two could not be told apart by name", "name another run")


@app.command()
def status() -> None:
    """Say how the candidate does, in conversations with a vote and in harm; looking changes nothing."""
    from agri_llm import canary

    start()
    found = canary.running(_promotions())
    if found is None:
        say("No canary runs.", sys.stdout)
        return
    begun, standing = found
    say(f"{standing.name} answers {begun.share:.0%} of the conversations since {begun.created_at:%Y-%m-%d %H:%M}.", sys.stdout)
    say(standing.words(), sys.stdout)


@app.command()
def stop(reason: Annotated[str, typer.Option(help="Why, for the record.")] = "") -> None:
    """End the canary; the model in use answers all conversations again."""
    start()
    stopped = _promotions().stop_canary("agri canary", (reason,) if reason else ())
    say("No canary runs." if stopped is None else f"Stopped: {stopped.run} answers no conversation any more.", sys.stdout)


def _promotions() -> Promotions:
    from ui import wiring

    wiring.store().migrate()
    return wiring.store().promotions
