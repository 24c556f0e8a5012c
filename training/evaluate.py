"""An assistant and suites in, a report out: every figure with its interval, by language, beside what simple rules reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training import intervals, scores, selective
from training.cases import Case, Suite
from training.intervals import Interval, Paired
from training.replies import Reply
from training.scores import Share

Progress = Callable[[int, int], None]
Values = NDArray[np.float64]
ALL = "all"


class Asked(Protocol):
    """What replies to cases: `training.kept.Kept`, or a respondent itself."""

    @property
    def contract(self) -> Mapping[str, str]:
        """What decides the replies, by name."""

    def reply(self, case: Case) -> Reply:
        """Reply to a case."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One case, what came back, and what it is worth; `wrong` says why a safety case failed."""

    suite: str
    case: Case
    reply: Reply
    scores: Mapping[str, Share]
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number of the report; `rule` names the simple rule it is of, "" for the assistant."""

    suite: str
    measure: str
    language: str
    interval: Interval
    cases: int
    groups: int
    rule: str = ""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One measure of two assistants on the same cases; `corrected` is p after Holm over all measures compared."""

    suite: str
    measure: str
    paired: Paired
    cases: int
    corrected: float

    @property
    def verdict(self) -> str:
        """Whether it got better or worse, or nothing is proven."""
        if not self.paired.proven or self.measure in scores.NEITHER:
            return "not proven"
        rises = self.paired.difference.value > 0
        return "better" if rises != (self.measure in scores.LOWER_IS_BETTER) else "worse"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How a judge model agrees with the deterministic scores; kappa is None where one of the two says the same of all."""

    model: str
    cases: int
    agreement: float
    kappa: float | None
    unreadable: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything measured of one assistant. `not_possible` maps a suite to the reason why it has no figures."""

    contract: Mapping[str, str]
    suites: tuple[Suite, ...]
    outcomes: tuple[Outcome, ...]
    figures: tuple[Figure, ...]
    not_possible: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[str, tuple[Values, Values]] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    compared_with: Mapping[str, str] = field(default_factory=dict)
    judgement: Judgement | None = None


def evaluate(asked: Asked, suites: Sequence[Suite], *, weighs: bool, progress: Progress | None = None) -> Report:
    """Ask every case of the suites and score the replies; `weighs` says whether the writer can tell how likely a text is."""
    not_possible = {suite.name: "the writer gives no likelihoods" for suite in suites if suite.kind == "choice" and not weighs}
    possible = [suite for suite in suites if suite.name not in not_possible]
    outcomes, total = [], sum(len(suite.cases) for suite in possible)
    for suite in possible:
        for case in suite.cases:
            outcomes.append(outcome(suite.name, case, asked.reply(case)))
            if progress:
                progress(len(outcomes), total)
    by_suite = {suite.name: [one for one in outcomes if one.suite == suite.name] for suite in possible}
    return Report(
        contract=dict(asked.contract),
        suites=tuple(suites),
        outcomes=tuple(outcomes),
        figures=tuple(figure for held in by_suite.values() for figure in figures(held)),
        not_possible=not_possible,
        curves={name: curve(held) for name, held in by_suite.items() if _selects(held)},
    )


def outcome(suite: str, case: Case, reply: Reply) -> Outcome:
    """Score one reply."""
    wrong = tuple(scores.failures(case, reply)) if case.kind == "safety" else ()
    return Outcome(suite=suite, case=case, reply=reply, scores=scores.score(case, reply), wrong=wrong)


def figures(outcomes: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of one suite: of all its cases, of each language where there are several, and of simple rules."""
    languages = sorted({one.case.language for one in outcomes})
    found = [*_figures(outcomes, ALL), *_rules(outcomes)]
    if _selects(outcomes):
        found.append(_of_curve(outcomes))
    if len(languages) > 1:
        for language in languages:
            found += _figures([one for one in outcomes if one.case.language == language], language)
    return found


def _figures(outcomes: Sequence[Outcome], language: str) -> Iterator[Figure]:
    for measure in dict.fromkeys(name for one in outcomes for name in one.scores):
        held = [one for one in outcomes if measure in one.scores]
        groups = _groups(held)
        interval = intervals.ratio(_parts(held, measure), groups)
        if interval:
            yield _figure(held, measure, language, interval)


def _rules(outcomes: Sequence[Outcome]) -> Iterator[Figure]:
    """Yield what rules reach that read nothing."""
    cases = [one.case for one in outcomes]
    rules: dict[str, list[bool]] = {}
    measure = "right decision"
    if cases[0].kind == "clarification":
        rules = selective.baselines(cases)
    if cases[0].kind == "refusal":
        rules = {"always answer": [case.expected == "answer" for case in cases]}
    if cases[0].kind == "choice":
        measure = "accuracy, per byte"
        rules = {"the longest choice": [max(case.choices, key=len) == case.choices[case.right] for case in cases]}
    for rule, right in rules.items():
        parts = np.array([[float(each), 1.0] for each in right])
        interval = intervals.ratio(parts, _groups(outcomes))
        if interval:
            yield _figure(outcomes, measure, ALL, interval, rule)


def _selects(outcomes: Sequence[Outcome]) -> bool:
    return bool(outcomes) and outcomes[0].case.kind == "refusal"


def _risks(outcomes: Sequence[Outcome]) -> tuple[Values, Values]:
    confidence = np.array([one.reply.confidence for one in outcomes])
    return confidence, np.array([float(selective.wrong_if_answered(one.case, one.reply)) for one in outcomes])


def curve(outcomes: Sequence[Outcome]) -> tuple[Values, Values]:
    """Return coverage and risk of a suite."""
    return selective.risk_and_coverage(*_risks(outcomes))


def _of_curve(outcomes: Sequence[Outcome]) -> Figure:
    confidence, wrong = _risks(outcomes)

    def area(rows: NDArray[np.int64]) -> float:
        return selective.aurc(confidence[rows], wrong[rows])

    return _figure(outcomes, "AURC", ALL, intervals.statistic(area, _groups(outcomes)))


def compare(report: Report, others: Iterable[Outcome]) -> list[Difference]:
    """Compare with the outcomes of another assistant, case by case; cases that only one was asked do not count."""
    theirs = {(one.suite, one.case): one for one in others}
    pairs = [(one, theirs[one.suite, one.case]) for one in report.outcomes if (one.suite, one.case) in theirs]
    found: list[tuple[str, str, Paired, int]] = []
    for suite, measure in dict.fromkeys((one.suite, name) for one, _ in pairs for name in one.scores):
        held = [(one, other) for one, other in pairs if one.suite == suite and measure in one.scores]
        sides = [_parts(side, measure) for side in zip(*held, strict=True)]
        paired = intervals.paired(sides[0], sides[1], _groups([one for one, _ in held]))
        if paired:
            found.append((suite, measure, paired, len(held)))
    corrected = intervals.holm([paired.p for _, _, paired, _ in found])
    return [
        Difference(suite=suite, measure=measure, paired=paired, cases=cases, corrected=p)
        for (suite, measure, paired, cases), p in zip(found, corrected, strict=True)
    ]


def _parts(outcomes: Sequence[Outcome], measure: str) -> Values:
    return np.array([one.scores.get(measure, (0.0, 0.0)) for one in outcomes], dtype=np.float64)


def _groups(outcomes: Sequence[Outcome]) -> list[str]:
    return [one.case.group or one.case.id for one in outcomes]


def _figure(outcomes: Sequence[Outcome], measure: str, language: str, interval: Interval, rule: str = "") -> Figure:
    return Figure(
        suite=outcomes[0].suite,
        measure=measure,
        language=language,
        interval=interval,
        cases=len(outcomes),
        groups=len(set(_groups(outcomes))),
        rule=rule,
    )
