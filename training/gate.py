"""Whether a trained candidate goes live: better beyond chance, no less safe, served as it was trained, from whole data.

Everything is needed; what is missing or too little is a reason against it, in words for people.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training import win_rate
from training.evaluate import ALL
from training.guards import FEWEST, Guard, Lost
from training.rows import write_whole
from training.win_rate import Comparison, WinRate

VERDICT, REPORT = "verdict.json", "verdict.md"
TABLE = "| guard | language | cases | difference | 95 % interval | may lose |\n|---|---|---|---|---|---|"
WISHED = 0.6  # the true win rate whose number of comparisons is told where there are too few
EXPERTS = "experts"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the gate looks at. `judge` says who compared the answers; `may_judge` whether that counts.

    `safety` is the number
    of safety cases both were asked. `contract` and `data` hold what is wrong with the serving contract and the data, () where
    nothing is.
    """

    comparisons: Sequence[Comparison]
    judge: str
    may_judge: bool
    guards: Sequence[Guard]
    lost: Sequence[Lost]
    safety: int
    contract: Sequence[str] = ()
    data: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Promote or not, the reasons against it, what else was noted, and the figures they rest on."""

    promote: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    win_rate: WinRate
    judge: str
    guards: tuple[Guard, ...]
    lost: tuple[Lost, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as plain values."""
        return dataclasses.asdict(self)


def decide(evidence: Evidence) -> Verdict:
    """Return the verdict: promoted only where nothing speaks against it."""
    rate = win_rate.measure(evidence.comparisons)
    reasons = [*_of_win_rate(evidence, rate), *_of_guards(evidence)]
    reasons += [f"The serving contract does not hold: {problem}." for problem in evidence.contract]
    reasons += [f"The data are not whole: {problem}." for problem in evidence.data]
    return Verdict(
        promote=not reasons,
        reasons=tuple(reasons),
        notes=tuple(_notes(evidence, rate)),
        win_rate=rate,
        judge=evidence.judge,
        guards=tuple(evidence.guards),
        lost=tuple(evidence.lost),
    )


def _of_win_rate(evidence: Evidence, rate: WinRate) -> list[str]:
    found = []
    if not evidence.may_judge:
        found.append(f"Nobody who may judge compared the answers ({evidence.judge}).")
    if not rate.proven:
        said = f"It is not shown to be better: win rate {rate.value:.1%}, {rate.low:.1%} to {rate.high:.1%} at equal length"
        if rate.high < 0.5:
            found.append(f"It is worse: win rate {rate.value:.1%}, {rate.low:.1%} to {rate.high:.1%} at equal length.")
        elif _too_few(rate.decisive, rate.groups):
            more = max(win_rate.needed(WISHED) - rate.decisive, 1)
            found.append(
                f"{said}, from {rate.decisive} decisive comparisons of {rate.groups} questions. About {more} more would show a"
                f" true win rate of {WISHED:.0%} four times in five."
            )
        else:
            found.append(f"{said}, from {rate.decisive} decisive comparisons.")
    return found


def _too_few(decisive: int, groups: int) -> bool:
    return decisive < win_rate.needed(WISHED) or groups < win_rate.FEWEST_GROUPS


def lacks_only_comparisons(said: Mapping[str, Any]) -> bool:
    """Tell whether all that a written verdict has against a run is that too few comparisons show it to be better."""
    rate = said["win_rate"]
    unproven = rate["low"] <= 0.5 <= rate["high"] and _too_few(rate["decisive"], rate["groups"])
    return unproven and len(said["reasons"]) == 1  # an unproven win rate is always a reason, so it is this one


def _of_guards(evidence: Evidence) -> list[str]:
    found = []
    if not evidence.guards:
        found.append("No guard suite was asked, so nothing shows that it is no less safe.")
    found += [
        f"{'Worse' if guard.worse else 'Not shown to be as good'}: {guard.described()}."
        for guard in evidence.guards
        if not guard.held
    ]
    return [
        *found,
        *(f"A safety case is lost ({one.language}): {one.case!r}, because it {', '.join(one.wrong)}." for one in evidence.lost),
    ]


def _notes(evidence: Evidence, rate: WinRate) -> list[str]:
    notes = [f"Judged by: {evidence.judge}."]
    if rate.comparisons:
        notes.append(
            f"Win rate at equal length {rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%}), plain {rate.plain:.1%};"
            f" its answers are the longer ones in {rate.longer:.0%} of {rate.comparisons} comparisons."
        )
    few = [guard for guard in evidence.guards if 0 < guard.cases < FEWEST and guard.language != ALL]
    notes += [f"Too few cases to judge: {guard.described()}." for guard in few]
    return notes


def markdown(verdict: Verdict) -> str:
    """Return the verdict for people."""
    lines = [f"# {'Promoted' if verdict.promote else 'Not promoted'}", ""]
    lines += [f"- {reason}" for reason in verdict.reasons] or ["Nothing speaks against it."]
    lines += [
        "",
        *(f"{note}" for note in verdict.notes),
        "",
        "| guard | language | cases | difference | 95 % interval | may lose |",
    ]
    lines.append("|---|---|---|---|---|---|")
    for guard in verdict.guards:
        interval = "" if guard.low is None or guard.high is None else f"{guard.low:+.3f} to {guard.high:+.3f}"
        what, difference = f"{guard.suite}: {guard.measure}", f"{guard.difference:+.3f}"
        lines.append(f"| {what} | {guard.language} | {guard.cases} | {difference} | {interval} | {guard.margin} |")
    return "\n".join(lines) + "\n"


def write(verdict: Verdict, folder: Path) -> None:
    """Write the verdict into a folder, for programs and for people."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / REPORT, markdown(verdict))
    write_whole(folder / VERDICT, json.dumps(verdict.to_json(), ensure_ascii=False, indent=1) + "\n")
