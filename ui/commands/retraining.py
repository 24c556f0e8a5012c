"""`agri retrain` and `agri promote`: from what people said to a model that serves, and back to an earlier one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agri_llm.errors import BadInput
from ui.commands.console import end, open_index, say, start

if TYPE_CHECKING:
    from agri_llm.judgements import Material, Promotion
    from agri_llm.records import Message
    from training.evaluate import Outcome
    from training.progress import Tell
    from training.retrain import Wanted

RETRAININGS = "retrainings"  # in the home folder


@dataclass(frozen=True)
class Parts:
    """What a retraining needs of this installation; `said` is a file with what people said, in the place of the store."""

    said: Path | None = None

    def material(self) -> Material:
        """Return what people said whose words may be used."""
        from ui import wiring

        if self.said is None:
            return wiring.store().teachable()
        from training import material_file

        return material_file.read(self.said)

    def writing(self, adapter: Path | None, tokens: int) -> Callable[[Sequence[Message]], str]:
        """Return what writes an answer to a request with an adapter, or with the base alone."""
        from agri_llm.language.brief import Brief
        from agri_llm.records import Question
        from ui import wiring

        model = wiring.base_model().with_adapter(str(adapter) if adapter else None)
        model.limit(tokens)

        def write(messages: Sequence[Message]) -> str:
            brief = Brief(question=Question(text=""), intent="explain", hits=(), messages=tuple(messages))
            return "".join(model.stream(brief)).strip()

        return write

    def replies(self, adapter: Path | None, suites: Sequence[str], tell: Tell) -> Sequence[Outcome]:
        """Return what the assistant replies to suites with an adapter; what was asked before is not asked again."""
        from training import cases
        from ui import wiring
        from ui.commands import evaluating

        tell(f"asking {', '.join(suites)} of {adapter or 'the base alone'}")
        name = str(adapter) if adapter else None
        found = evaluating.report_of(
            wiring.assistant_with(name), name, [cases.find(suite) for suite in suites], evaluating.Wanted()
        )
        return found.outcomes


def retrain(
    method: Annotated[
        str, typer.Option(help="dpo, from pairs of answers; kto, from single ones; grpo, from its own answers.")
    ] = "dpo",
    config: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Settings; those that are shipped for the method if none.")
    ] = None,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="Folder; the same one again goes on.")] = None,
    said: Annotated[
        Path | None, typer.Option("--from", exists=True, dir_okay=False, help="File with what people said, not the store.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="End before the training: what would be learned, and the checks.")
    ] = False,
    index: Annotated[Path | None, typer.Option(help="Index folder; the default one when not given.")] = None,
) -> None:
    """Learn from what people said, let the gate decide, and promote the new model, or say why not."""
    from ui.commands import adapting, quiet

    adapting.prepare()
    with quiet.results() as results:
        open_index(index)
        from training import retrain as steps
        from ui import wiring

        wiring.store().migrate()
        wanted = _wanted(method, config, out)
        say(f"Retraining in {wanted.out}; the same --out goes on after a stop.", sys.stderr)
        if run_in_use() == wanted.candidate:  # it was stopped between its promotion and its last word
            say(f"Promoted before: {in_force(str(wanted.candidate / 'adapter'))}", results)
            return
        verdict = steps.run(wanted, Parts(said), lambda line: say(line, sys.stderr), dry=dry_run)
        if verdict is None:
            say(f"Everything is ready in {wanted.out}; without --dry-run it is trained and judged.", results)
        elif verdict["promote"]:
            promotion = promoted(wanted.candidate, "agri retrain")
            say(f"Promoted: {in_force(promotion.adapter)}", results)
        else:
            say("Not promoted:\n" + "\n".join(f"- {reason}" for reason in verdict["reasons"]), results)
            end(1)


def _wanted(method: str, config: Path | None, out: Path | None) -> Wanted:
    """Return the retraining that the settings and the promotion in force ask for. Raises BadInput."""
    from agri_llm.records import now
    from training import retrain_config
    from training.retrain import Wanted
    from ui import wiring

    chosen = wiring.settings()
    if chosen.writer != "local" or not chosen.model:
        raise BadInput(
            f"AGRI_WRITER is {chosen.writer}" + ("" if chosen.model else " and AGRI_MODEL names no model"),
            "retraining is of a model on this machine",
            "set AGRI_WRITER=local and AGRI_MODEL to its base model",
        )
    file = config or retrain_config.shipped(method)
    if method not in retrain_config.METHODS:
        retrain_config.shipped(method)
    folder = out or chosen.home / RETRAININGS / f"{now():%Y%m%d-%H%M%S}-{method}"
    return Wanted(
        out=folder.absolute(),
        model=chosen.model,
        current=run_in_use(),
        method=method,  # type: ignore[arg-type]
        settings=retrain_config.read(file),
        file=file,
        salt=wiring.visitor_secret(),
    )


def run_in_use() -> Path | None:
    """Return the run whose adapter is in use: of AGRI_ADAPTER, else of the last promotion; None: the base writes alone."""
    from ui import wiring

    adapter = wiring.settings().adapter
    if not adapter:
        current = wiring.store().promotions.current()
        adapter = current.adapter if current is not None else None
    return Path(adapter).parent if adapter else None


def in_force(adapter: str | None) -> str:
    """Say what writes from now on after a decision for an adapter, or the base alone: one in the settings goes before it."""
    from ui import wiring

    said, fixed = f"{adapter or 'the base alone'} writes the answers from now on", wiring.settings().adapter
    if not fixed or fixed == adapter:
        return f"{said}."
    return f"{said} where AGRI_ADAPTER is not set; here it names {fixed}, which goes before every decision: take it out."


def promoted(run: Path, by: str) -> Promotion:
    """Promote the adapter of a run that passed the gate and return the decision.

    Raises BadInput with the gate's reasons, and where its weights or what is in use are not those that the gate compared.
    """
    from agri_llm.judgements import Promotion
    from training import retrain as steps
    from ui import wiring

    verdict = steps.verdict_of(run)
    if not verdict["promote"]:
        raise BadInput(f"The gate keeps {run} out", " ".join(verdict["reasons"]).rstrip("."), "train again with more ratings")
    sha256 = steps.adapter_hash(run)
    promotion = Promotion(
        kind="promoted",
        adapter=str(run / "adapter"),
        by=by,
        sha256=sha256,
        run=run.name,
        verdict=verdict,
        id=f"promotion-{sha256}",
    )
    wiring.store().promotions.promote(promotion, **_compared_with(run, sha256))
    return promotion


def _compared_with(run: Path, sha256: str) -> dict[str, str | None]:
    """Return as `over` what the gate compared a run with; nothing for a run of no retraining. Raises BadInput.

    Where AGRI_ADAPTER says what writes, no decision is followed, so there is none that it could be compared with.
    """
    from training import marked_steps, retrain_config
    from ui import runs, wiring

    out = run.parent.parent
    if not (out / retrain_config.CHOICE).is_file():
        return {}
    if marked_steps.found_by(out / retrain_config.GATE).get("sha256") not in (None, sha256):
        raise BadInput(
            f"{run / 'adapter'} is not the adapter that the gate judged",
            "nothing is known of these weights",
            "copy the run again, or retrain",
        )
    begun = runs.read(out)
    if begun.state == "damaged":
        raise BadInput(f"{out} is damaged", "nothing says what it was compared with", "copy it again, or retrain")
    current = begun.current
    return {} if wiring.settings().adapter else {"over": str(Path(current) / "adapter") if current else None}


class _Targets:
    """The adapters that were in use, by every name a person may give them."""

    @cached_property
    def history(self) -> Sequence[Promotion]:
        from ui import wiring

        return wiring.store().promotions.history(1000)

    def adapter(self, target: str) -> str | None:
        """Return the adapter that was in use under this name. Raises BadInput where none was."""
        for each in self.history:
            names = {each.id, each.run, each.adapter or "base", str(Path(each.adapter).parent) if each.adapter else "base"}
            if each.kind in ("promoted", "rolled_back") and target in names:
                return each.adapter
        if target == "base":
            return None
        raise BadInput(f"{target} was never in use", "going back is to what was served before", "see `agri promote --list`")


def promote(
    target: Annotated[
        str | None, typer.Argument(help="A run that passed the gate; to go back, one in use before, or base.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Show the decisions, the newest first.")] = False,
    reason: Annotated[str, typer.Option(help="Why it goes back, for the record.")] = "",
) -> None:
    """Promote a run that passed the gate, or go back to a model that was in use before: seconds, without a restart."""
    from agri_llm.promotions import IN_USE
    from ui import wiring

    if (target is None) == (not listed):
        raise typer.BadParameter("name a run, or give --list")
    start()
    wiring.store().migrate()
    if target is None:
        for line in _history(_Targets().history):
            say(line, sys.stdout)
        return
    run = Path(target).absolute()
    known = any(each.kind in IN_USE and each.adapter == str(run / "adapter") for each in _Targets().history)
    if (run / "run.json").is_file() and not known:
        say(f"Promoted: {in_force(promoted(run, 'agri promote').adapter)}", sys.stdout)
        return
    adapter = _Targets().adapter(target if not known else str(run))
    gone_back(adapter, "agri promote", (reason,) if reason else ())
    say(f"Gone back: {in_force(adapter)}", sys.stdout)


def gone_back(adapter: str | None, by: str, reasons: tuple[str, ...]) -> None:
    """Go back to an adapter, None for the base alone. Raises BadInput where its files are gone, or it is in use."""
    from ui import wiring

    if adapter and not (Path(adapter) / "adapter_model.safetensors").is_file():
        raise BadInput(f"{adapter} is not there any more", "nothing could write with it", "name another one")
    wiring.store().promotions.roll_back(by, adapter, reasons)


def _history(found: Sequence[Any]) -> list[str]:
    if not found:
        return ["Nothing was ever promoted."]
    return [
        f"{each.created_at:%Y-%m-%d %H:%M} {each.kind.replace('_', ' '):<15}{each.adapter or 'the base alone'}, by {each.by}"
        + (f": {' '.join(each.reasons)}" if each.reasons else "")
        for each in found
    ]
