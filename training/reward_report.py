"""How far a reward model agrees with experts on questions it never saw, and how sure it may be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training import intervals, judging
from training.rows import write_whole

BINS = 5  # of equal width, from a chance of one half to certainty
REPORT = "calibration"


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One held-out pair: by how much the better answer's score is above the other's, and how much longer it is."""

    group: str
    language: str
    apart: float
    longer: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """Figures of a reward model on held-out pairs. `slope` turns a difference of scores into log odds (fitted on validation).

    `bins` hold (mean chance said, share right, pairs). `by_length` is what preferring the longer answer would reach.
    """

    pairs: int
    slope: float
    accuracy: tuple[float, float | None, float | None]
    by_length: float
    brier: float
    calibration_error: float
    bins: tuple[tuple[float, float, int], ...]
    languages: dict[str, tuple[float, int]]


def of(fitting: Sequence[Scored], judged: Sequence[Scored]) -> dict[str, Any]:
    """Return the report: the slope from the first pairs, every other figure from the second; {} where there are none."""
    if not judged:
        return {}
    slope = judging.slope_of(np.array([pair.apart for pair in fitting])) if fitting else 1.0
    apart = np.array([pair.apart for pair in judged])
    right = np.where(apart == 0, 0.5, (apart > 0).astype(np.float64))
    chance = 1 / (1 + np.exp(-np.clip(slope * np.abs(apart), 0, 50)))  # said of the answer that it prefers
    found = intervals.ratio(np.stack([right, np.ones(len(right))], axis=1), [pair.group for pair in judged])
    assert found is not None
    bins = _bins(chance, right)
    longer = np.array([0.5 if pair.longer == 0 else float(pair.longer > 0) for pair in judged])
    languages = sorted({pair.language for pair in judged})
    report = Report(
        pairs=len(judged),
        slope=round(slope, 4),
        accuracy=(round(found.value, 4), found.low, found.high),
        by_length=round(float(max(longer.mean(), 1 - longer.mean())), 4),
        brier=round(float(((chance - right) ** 2).mean()), 4),
        calibration_error=round(sum(abs(said - share) * count for said, share, count in bins) / len(judged), 4),
        bins=tuple(bins),
        languages={name: _of_language(judged, right, name) for name in languages},
    )
    return asdict(report)


def _of_language(judged: Sequence[Scored], right: NDArray[np.float64], language: str) -> tuple[float, int]:
    own = np.array([pair.language == language for pair in judged])
    return round(float(right[own].mean()), 4), int(own.sum())


def _bins(chance: NDArray[np.float64], right: NDArray[np.float64]) -> list[tuple[float, float, int]]:
    places = np.minimum(((chance - 0.5) * 2 * BINS).astype(int), BINS - 1)
    return [
        (round(float(chance[places == at].mean()), 4), round(float(right[places == at].mean()), 4), int((places == at).sum()))
        for at in range(BINS)
        if (places == at).any()
    ]


def lines(report: dict[str, Any]) -> list[str]:
    """Return the report in sentences."""
    if not report:
        return ["no held-out pairs: nothing shows how far it agrees with experts"]
    share, low, high = report["accuracy"]
    between = "" if low is None else f" ({low:.0%} to {high:.0%})"
    return [
        f"it prefers what experts prefer in {share:.0%}{between} of {report['pairs']} held-out pairs; length alone would in"
        f" {report['by_length']:.0%}",
        f"calibration error {report['calibration_error']:.3f}, Brier score {report['brier']:.3f}",
    ]


def write(report: dict[str, Any], folder: Path) -> None:
    """Write the report for programs and for people."""
    write_whole(folder / f"{REPORT}.json", json.dumps(report, indent=1) + "\n")
    text = ["# How far it agrees with experts", "", *lines(report), ""]
    if report:
        text += ["| chance said | share right | pairs |", "|---|---|---|"]
        text += [f"| {said:.3f} | {share:.3f} | {count} |" for said, share, count in report["bins"]]
        text += ["", "| language | right | pairs |", "|---|---|---|"]
        text += [f"| {name or 'not said'} | {share:.3f} | {count} |" for name, (share, count) in report["languages"].items()]
    write_whole(folder / f"{REPORT}.md", "\n".join(text) + "\n")
