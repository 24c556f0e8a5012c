"""A report as files: Markdown and HTML for people, JSON for programs, and every case with its reply as JSON lines."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from agri_llm.errors import BadInput
from training import plots
from training.cases import Case
from training.evaluate import ALL, Figure, Outcome, Report
from training.intervals import Interval
from training.replies import Reply

OUTCOMES, RESULT = "outcomes.jsonl", "report.json"
EXAMPLES = 12  # of failures in the report; all of them stand in the outcomes
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}"
    "td,th{border:1px solid #bbb;padding:.2rem .6rem;text-align:left}svg{max-width:100%;height:auto}"
)


def write(report: Report, folder: Path) -> None:
    """Write report.md, report.html, outcomes.jsonl and, last, report.json: a folder without it is unfinished."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULT).unlink(missing_ok=True)
    lines = (json.dumps(_row(one), ensure_ascii=False) for one in report.outcomes)
    (folder / OUTCOMES).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (folder / "report.md").write_text(markdown(report), encoding="utf-8")
    (folder / "report.html").write_text(page(report), encoding="utf-8")
    (folder / RESULT).write_text(json.dumps(as_json(report), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read_outcomes(folder: Path) -> tuple[dict[str, str], list[Outcome]]:
    """Return the contract and the outcomes of a report that was written. Raises BadInput where it is not whole."""
    try:
        contract = json.loads((folder / RESULT).read_text(encoding="utf-8"))["contract"]
        rows = [json.loads(line) for line in (folder / OUTCOMES).read_text(encoding="utf-8").split("\n") if line]
        return contract, [_outcome(row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{folder} holds no finished report ({type(error).__name__})",
            "there is nothing to compare with",
            "name a folder that `agri evaluate --out` wrote, or an adapter",
        ) from error


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as one JSON object, without the replies."""
    return {
        "contract": dict(report.contract),
        "suites": {
            suite.name: {"kind": suite.kind, "cases": len(suite.cases), "sha256": suite.sha256} for suite in report.suites
        },
        "figures": [_flat(figure) for figure in report.figures],
        "not_possible": dict(report.not_possible),
        "compared_with": dict(report.compared_with),
        "differences": [
            {
                "suite": one.suite,
                "measure": one.measure,
                "verdict": one.verdict,
                **asdict(one.paired.difference),
                "better": one.paired.better,
                "worse": one.paired.worse,
                "p": one.paired.p,
                "p_corrected": one.corrected,
                "test": one.paired.test,
                "cases": one.cases,
            }
            for one in report.differences
        ],
        "judge": asdict(report.judgement) if report.judgement else None,
    }


def markdown(report: Report) -> str:
    """Return the whole report as Markdown."""
    return "\n\n".join(part for part in _parts(report) if part) + "\n"


def _parts(report: Report) -> Iterator[str]:
    contract = report.contract
    yield "# Evaluation"
    adapter = f", adapter {contract['adapter']}" if contract.get("adapter") else ""
    yield (
        f"Writer {contract.get('model', '?')}{adapter}, {contract.get('way', '')}; index {contract.get('index', '')[:12]},"
        f" prompt {contract.get('prompt', '')[:12]}. Intervals are 95 % bootstrap intervals over groups of cases."
    )
    if report.differences:
        yield "## What got better, what got worse"
        yield f"Against {_named(report.compared_with)}, case by case:"
        yield differences(report)
    for suite in report.suites:
        yield f"## {suite.name}"
        if suite.name in report.not_possible:
            yield f"Not possible: {report.not_possible[suite.name]}."
        else:
            yield figures([one for one in report.figures if one.suite == suite.name])
    if report.judgement:
        yield "## Judge"
        yield judgement(report)
    yield "## Failures"
    yield failures(report.outcomes)


def figures(held: Sequence[Figure]) -> str:
    """Return a table: measures in rows, languages in columns; simple rules in rows of their own."""
    languages = list(dict.fromkeys(one.language for one in held))
    rows = []
    for measure, rule in dict.fromkeys((one.measure, one.rule) for one in held):
        found = {one.language: one for one in held if (one.measure, one.rule) == (measure, rule)}
        cells = [_cell(found[language].interval) if language in found else "" for language in languages]
        number = found[ALL].cases if ALL in found else ""
        rows.append([f"{measure} ({rule})" if rule else measure, str(number), *cells])
    return table(["", "cases", *languages], rows)


def differences(report: Report) -> str:
    """Return a table of every measure that both assistants have."""
    rows = [
        [
            one.suite,
            one.measure,
            _cell(one.paired.difference, sign="+"),
            f"{one.paired.better} / {one.paired.worse}",
            f"{one.paired.p:.3g} ({one.paired.test})",
            f"{one.corrected:.3g}",
            one.verdict,
        ]
        for one in report.differences
    ]
    return table(["suite", "measure", "difference", "higher / lower", "p", "p, Holm", "verdict"], rows)


def judgement(report: Report) -> str:
    """Return a sentence on how a judge model agrees with the scores."""
    held = report.judgement
    assert held is not None
    kappa = "not defined, one of them says the same of all" if held.kappa is None else f"{held.kappa:.2f}"
    return (
        f"{held.model} judged {held.cases} answers and agrees with the deterministic scores on {held.agreement:.2f} of them;"
        f" Cohen's kappa: {kappa}; {held.unreadable} verdicts could not be read. Its verdicts enter no figure."
    )


def failures(outcomes: Sequence[Outcome]) -> str:
    """Return a list of the first replies of each suite that failed by its main score."""
    lines = []
    for suite in dict.fromkeys(one.suite for one in outcomes):
        failed = [one for one in outcomes if one.suite == suite and next(iter(one.scores.values()))[0] == 0]
        lines += [_failure(one) for one in failed[:EXAMPLES]]
    return "\n".join(lines) or "None."


def _failure(one: Outcome) -> str:
    why = f" ({'; '.join(one.wrong)})" if one.wrong else ""
    said = " ".join(one.reply.text.split())[:160].replace("|", "/")
    return f"- **{one.suite} {one.case.id}**{why}: {' '.join(one.case.question.split())[:160]} → {one.reply.kind}: {said}"


def page(report: Report) -> str:
    """Return the report as one HTML file with its pictures inside."""
    text, pictures = markdown(report), plots.drawn(report)
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    shown = "".join(f"<figure>{svg}<figcaption>{html.escape(said)}</figcaption></figure>" for said, svg in pictures)
    note = "" if pictures else "<p>Pictures need matplotlib: install agri[train].</p>"
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Evaluation</title><style>{_STYLE}</style></head>'
    return f"{head}<body>{body}<h2>Pictures</h2>{shown}{note}</body></html>\n"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows])


def _cell(interval: Interval, sign: str = "") -> str:
    value = f"{interval.value:{sign}.3f}"
    if interval.low is None or interval.high is None:
        return value
    return f"{value} ({interval.low:{sign}.3f} to {interval.high:{sign}.3f})"


def _named(contract: Any) -> str:
    adapter = f" with {contract['adapter']}" if contract.get("adapter") else ""
    return f"{contract.get('model', '?')}{adapter} ({contract.get('way', '')})"


def _flat(figure: Figure) -> dict[str, Any]:
    row = asdict(figure)
    return {**{key: value for key, value in row.items() if key != "interval"}, **row["interval"]}


def _row(one: Outcome) -> dict[str, Any]:
    case = {key: value for key, value in asdict(one.case).items() if value not in ("", (), [])}
    return {"suite": one.suite, "case": case, "reply": asdict(one.reply), "scores": dict(one.scores), "wrong": one.wrong}


def _outcome(row: dict[str, Any]) -> Outcome:
    case: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row["case"].items()}
    return Outcome(
        suite=row["suite"],
        case=Case(**case),
        reply=Reply.from_json(row["reply"]),
        scores={name: (float(share[0]), float(share[1])) for name, share in row["scores"].items()},
        wrong=tuple(row["wrong"]),
    )
