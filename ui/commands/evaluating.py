"""The command `agri evaluate`: asks suites of the assistant in use, or of its writer alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ui.commands.console import open_index, say

if TYPE_CHECKING:
    from agri_llm.assistant import Assistant
    from agri_llm.settings import Settings
    from training.cases import Suite
    from training.evaluate import Judgement, Outcome, Report

ADAPTER = "adapter_config.json"


@dataclass(frozen=True)
class Wanted:
    """What to evaluate, and with what. `base` compares with the writer without its adapter."""

    suites: tuple[str, ...] = ()
    adapter: Path | None = None
    compare: str | None = None
    unchecked: bool = False
    judge: bool = False


def evaluate(
    suite: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A shipped suite or a file; again for more; all shipped ones if none."),
    ] = None,
    adapter: Annotated[Path | None, typer.Option(file_okay=False, help="Adapter in the place of the one in use.")] = None,
    compare: Annotated[
        str | None, typer.Option(metavar="OTHER", help="Folder of an earlier report, another adapter, or base for none.")
    ] = None,
    unchecked: Annotated[bool, typer.Option(help="The writer alone, before any check drops a sentence.")] = False,
    judge: Annotated[
        bool, typer.Option(help="Let the model at AGRI_ENDPOINT_URL judge too, and say how far it agrees.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder for report.md, report.html and all replies.")
    ] = None,
    index: Annotated[Path | None, typer.Option(help="Index folder; the default one when not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
) -> None:
    """Ask suites of questions and say how good the answers are, with intervals; what was asked before costs nothing."""
    from ui.commands import quiet, rendering

    wanted = Wanted(tuple(suite or ()), adapter, compare, unchecked=unchecked, judge=judge)
    with quiet.results() as results:
        open_index(index)
        report = evaluated(wanted)
        if out is not None:
            write(report, out)
        say(rendering.one_line(json_of(report)) if as_json else text_of(report), results)


def evaluated(wanted: Wanted) -> Report:
    """Ask the suites, compare with the other one where it is named, and let a model judge where that is wanted."""
    from training import cases
    from ui import wiring

    suites = [cases.find(name) for name in (wanted.suites or cases.shipped_names())]
    adapter = str(wanted.adapter) if wanted.adapter else wiring.settings().adapter
    contract, others = _other(wanted, suites) if wanted.compare else ({}, [])
    report = report_of(wiring.assistant_with(adapter), adapter, suites, wanted)
    if wanted.compare:
        from training.evaluate import compare

        report = replace(report, differences=tuple(compare(report, others)), compared_with=contract)
    return replace(report, judgement=_judgement(report)) if wanted.judge else report


def _other(wanted: Wanted, suites: Sequence[Suite]) -> tuple[dict[str, str], Sequence[Outcome]]:
    """Return what the other one replied: from its report, or by asking it now. It is asked first, and then given up again."""
    from training import report
    from ui import wiring

    other = Path(wanted.compare or "")
    if wanted.compare != "base" and not (other / ADAPTER).is_file():
        return report.read_outcomes(other)
    adapter = None if wanted.compare == "base" else str(other)
    asked = report_of(wiring.assistant_with(adapter), adapter, suites, wanted)
    return dict(asked.contract), asked.outcomes


def report_of(assistant: Assistant, adapter: str | None, suites: Sequence[Suite], wanted: Wanted) -> Report:
    """Ask suites of an assistant; what was asked before costs nothing."""
    from training.evaluate import evaluate
    from training.kept import Kept
    from training.replies import Checked, Unchecked, can_weigh
    from training.reply_contract import weights_hash
    from ui import wiring
    from ui.commands import indexing

    chosen = wiring.settings()
    weights = weights_hash(*_places(chosen, adapter))
    respondent = (Unchecked if wanted.unchecked else Checked)(assistant, weights)
    with indexing.progress("Asking") as shown:
        kept = Kept(respondent, chosen.home / "evaluation")
        return evaluate(kept, suites, weighs=can_weigh(assistant), progress=shown)


def _places(chosen: Settings, adapter: str | None) -> tuple[str | None, ...]:
    """Where the writer comes from, and what else decides its words."""
    search = f"{chosen.reranker} {chosen.meaning_weight}"
    limits = f"{chosen.max_new_tokens} {chosen.temperature} {chosen.four_bit}"
    if chosen.writer == "composer":
        return (search,)
    writer = (chosen.endpoint_url, chosen.model) if chosen.writer == "endpoint" else (chosen.model, adapter)
    return (*writer, limits, search)


def _judgement(report: Report) -> Judgement | None:
    from agri_llm.language.endpoint import EndpointModel
    from training import judge
    from ui import wiring

    chosen = wiring.settings()
    model = EndpointModel(
        chosen.endpoint_url,
        chosen.model if chosen.writer == "endpoint" else "",
        chosen.endpoint_key.get_secret_value() if chosen.endpoint_key else None,
        timeout_seconds=chosen.endpoint_timeout_seconds,
        max_new_tokens=chosen.max_new_tokens,
        temperature=0.0,
    )
    return judge.judged(lambda: model.name, model.reply, report.outcomes)


def write(report: Report, folder: Path) -> None:
    """Write the report into a folder."""
    from training import report as reports

    reports.write(report, folder)


def json_of(report: Report) -> dict[str, Any]:
    """Return the figures for programs."""
    from training import report as reports

    return reports.as_json(report)


def text_of(report: Report) -> str:
    """Return the figures for people, without the failures."""
    from training import report as reports

    return reports.markdown(report).split("\n## Failures")[0].rstrip()
