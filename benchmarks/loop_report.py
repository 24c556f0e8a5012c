"""The tables of the loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import report

HEAD = (
    "`python benchmarks/loop.py --run RUN --out FOLDER`. **A simulation**: nobody rated anything. RUN is the small "
    "chain's tuned model; experts with known preferences (carried by the passages, cited, said once, short, no "
    "promises; they waver where two answers are worth nearly the same) rate its answers; what they like is hidden "
    "from the judge of the gate. Win rates are against the model before the training, by these experts without noise, "
    "at equal length. Intervals are 95 %, over held-out questions; the training itself ran once, where no other seeds "
    "are named."
)
OF_ALL = ["pairs", "accuracy", "win rate", "worth", "carried", "repeated", "characters"]


def text(found: Mapping[str, Any]) -> str:
    """Return every table of what was done."""
    parts = [_begin(found)]
    if "methods" in found:
        watches = [
            f"{row['method']}, {row['noise']:.0%} noise: {said}" for row in found["methods"] for said in row.get("watched", ())
        ]
        rows = [[row["method"], f"{row['noise']:.0%}", row["seed"], *_cells(row)] for row in found["methods"]]
        parts += ["### Methods and wrong labels", report.table(["method", "noise", "seed", *OF_ALL], rows)]
        parts += ["What the watches of a retraining would have stopped: " + ("; ".join(watches) or "nothing") + "."]
    if "curve" in found:
        rows = [[row["ratings"], *_cells(row)] for row in found["curve"]]
        parts += ["### DPO from few ratings to all", report.table(["ratings", *OF_ALL], rows)]
    if "disagreement" in found:
        rows = [[row["way"], *_cells(row)] for row in found["disagreement"]]
        parts += ["### A fifth of the labels wrong, as many ratings", report.table(["way", *OF_ALL], rows)]
    if "sabotage" in found:
        parts += ["### Sabotage, before the gate", *_sabotage(found["sabotage"])]
    return "\n\n".join(parts)


def _begin(found: Mapping[str, Any]) -> str:
    sizes, answered, start = found["sizes"], found["answered"], found["start"]
    rated = ", ".join(f"{number} {kind}" for kind, number in found["rated"].items())
    return (
        f"{sizes['ratings']} ratings of {answered['questions']} questions (requests of at most {sizes['prompt']} tokens,"
        f" answers of {sizes['answer']}); the model answered each three times, and {answered['usable']} of"
        f" {answered['answers']} answers could be taught as they are. Compared were: {rated}. Every training takes"
        f" {sizes['steps']} steps of {sizes['batch']} pairs (GRPO {sizes['online_steps']} of {sizes['batch']} questions)."
        f" Held out: {found['held']['questions']} questions, {found['held']['pairs']} pairs. Before any training the answers"
        f" are worth {start['worth']:.2f} of 1 to the experts, {start['carried']:.0%} are carried by their passages,"
        f" {start['repeated']:.0%} of their words are said again, {start['characters']:.0f} characters on average."
    )


def _cells(row: Mapping[str, Any]) -> Sequence[object]:
    if "refused" in row:
        return [row["pairs"], f"refused: {row['refused']}", *[""] * (len(OF_ALL) - 2)]
    rate, right = row["win rate"], row["accuracy"]
    return [
        row["pairs"], "" if right is None else _interval(right), _interval([rate[name] for name in ("value", "low", "high")]),
        f"{row['worth']:.2f}", f"{row['carried']:.0%}", f"{row['repeated']:.0%}", round(row["characters"]),
    ]  # fmt: skip


def _interval(values: Sequence[float | None]) -> str:
    value, low, high = values
    return f"{value:.0%}" + ("" if low is None or high is None else f" ({low:.0%} to {high:.0%})")


def _sabotage(found: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = []
    for row in found:
        rate = row.get("win rate")
        won = "" if rate is None else _interval([rate[name] for name in ("value", "low", "high")])
        danger = "" if rate is None else f"{row['dangerous']:.0%}"
        reasons = "<br>".join(row["reasons"]).replace("|", "\\|") or "nothing speaks against it"
        rows.append(
            [row["what"], row["stopped"], row["pairs"], danger, won, "promoted" if row["promote"] else "**stopped**", reasons]
        )
    header = ["what was done", "stopped by the check", "pairs", "dangerous answers", "win rate", "gate", "because"]
    judge = next((note for row in found for note in row.get("notes", ()) if note.startswith("Judged by")), "")
    return [report.table(header, rows), judge]
