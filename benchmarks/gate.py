"""False promotions and power of the gate's win rate, on simulated judgements: `python benchmarks/gate.py`."""

from __future__ import annotations

import argparse
import math

import numpy as np
import report
from scipy.stats import beta

from training import win_rate
from training.win_rate import Comparison

KINDS: dict[str, dict[str, float]] = {
    "one judgement a prompt": {},
    "30 % ties": {"ties": 0.3},
    "a judge who likes length, a candidate that writes longer": {"taste": 1.5},
    "one to five judgements a prompt, 20 % ties": {"most": 5, "ties": 0.2},
}


def judgements(
    number: int, rate: float, rng: np.random.Generator, *, ties: float = 0.0, taste: float = 0.0, most: float = 1
) -> list[Comparison]:
    """Return judgements of a candidate with this true win rate at equal length.

    `taste` is how much the log odds rise with the log of how much longer its answer is; of one prompt with several judgements
    all are moved together, by one unit of log odds.
    """
    found: list[Comparison] = []
    group = 0
    while len(found) < number:
        group += 1
        of_prompt = rng.normal(0, 1.0) if most > 1 else 0.0
        for _ in range(min(int(rng.integers(1, int(most) + 1)), number - len(found))):
            longer = rng.normal(0.4 if taste else 0.0, 0.4)
            chance = 1 / (1 + math.exp(-(math.log(rate / (1 - rate)) + taste * longer + of_prompt)))
            outcome = 0.5 if rng.random() < ties else float(rng.random() < chance)
            found.append(Comparison(group=str(group), outcome=outcome, length=round(300 * math.exp(longer)), other_length=300))
    return found


def promoted(number: int, rate: float, runs: int, seed: int, **kind: float) -> int:
    """Return how many of so many candidates pass."""
    rng = np.random.default_rng(seed)
    return sum(win_rate.measure(judgements(number, rate, rng, **kind)).proven for _ in range(runs))


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="candidates of each kind")
    runs = parser.parse_args().runs
    rows: list[list[object]] = []
    for name, kind in KINDS.items():
        for number in (40, 100, 200, 400):
            none = promoted(number, 0.5, runs, seed=number, **kind)
            high = float(beta.ppf(0.975, none + 1, runs - none))
            better = promoted(number, 0.6, runs // 4, seed=number + 1, **kind) / (runs // 4)
            said = f"{win_rate.power(0.6, number):.3f}" if not kind else ""
            rows.append([name, number, none / runs, high, better, said])
    first = promoted(200, 0.5, 200, seed=7)
    text = (
        f"`python benchmarks/gate.py`, {report.machine()}; {runs} simulated candidates that are no better and {runs // 4}"
        " with a true win rate of 60 % at equal length for each line. A judgement is drawn, nobody gave it."
        f" Of 200 candidates that are no better, with 200 comparisons each, {first} are promoted ({first / 200:.1%};"
        " at most 5 % may be).\n\n"
    )
    header = ["judgements", "comparisons", "no better: promoted", "upper 95 % bound", "60 %: promoted", "as statistics says"]
    report.publish("gate", "The gate: false promotions and power", text + report.table(header, rows))


if __name__ == "__main__":
    main()
