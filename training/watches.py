"""Whether a model learns to please its reward instead of people: figures of a run against those it began with.

A reward is a stand-in for what experts want. Where a model finds what the stand-in pays for and experts do not, its answers
grow, repeat, refuse, drift from the start, or all become alike, while the reward rises.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from agri_llm.errors import TrainingStopped
from training.rows import write_whole

REPORT = "watches"
EXPERTS = "experts/agreement"  # share of held-out pairs whose better answer the model itself finds likelier
REPEATED, IDLE, SHY, DANGEROUS = "said_again", "refused_answerable", "refused_unanswerable", "dangerous"
Entry = Mapping[str, Any]


@dataclass
class Limits:
    """How far figures may move from the start; careful guesses, to be narrowed by the runs of a place. 0 turns none off."""

    window: int = 5  # steps whose mean is compared with the mean of as many at the start
    judge_steps: int = 10  # steps between two looks at what experts preferred
    most_growth: float = 1.5  # mean length of an answer, as a multiple
    most_repetition: float = 0.1  # share of runs of words said again, above the start
    most_refusals: float = 0.2  # share refused of what passages answer, above the start
    most_boldness: float = 0.2  # share no longer refused of what they do not answer
    most_kl: float = 0.5  # nats a token from the reference
    most_cut: float = 0.25  # share of answers that never end, above the start
    most_certainty: float = 4.0  # by how much the entropy may shrink, as a divisor
    most_alike: float = 0.95  # share of questions all of whose answers earn the same: nothing is learned there
    most_parting: float = 0.1  # agreement with experts lost while the reward rises
    least_agreement: float = 0.5  # share of held-out pairs in which the reward itself must prefer what experts prefer


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A figure of the log, the limit of how far it may move, how far it did, and what is wrong where it moved further."""

    figure: str
    limit: str
    moved: Callable[[float, float], float]
    wrong: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A figure at the start and now, how far it moved, and how far it may."""

    figure: str
    start: float
    now: float
    moved: float
    limit: str
    most: float
    wrong: str

    @property
    def crossed(self) -> bool:
        """Whether it moved further than it may."""
        return self.moved > self.most

    @property
    def sentence(self) -> str:
        """What is wrong, with the figures."""
        return f"{self.wrong}: {self.figure} is {self.now:.3g} and was {self.start:.3g} ({self.limit} is {self.most:g})"


def _ratio(start: float, now: float) -> float:
    return now / max(start, 1e-9)


def _more(start: float, now: float) -> float:
    return now - start


WATCHED = (
    Watched(figure="completions/mean_length", limit="most_growth", moved=_ratio, wrong="answers grow"),
    Watched(figure=REPEATED, limit="most_repetition", moved=_more, wrong="answers repeat themselves"),
    Watched(figure=IDLE, limit="most_refusals", moved=_more, wrong="it refuses what it could answer"),
    Watched(figure=SHY, limit="most_boldness", moved=lambda start, now: start - now, wrong="it answers what nobody wrote"),
    Watched(figure="kl", limit="most_kl", moved=lambda _, now: now, wrong="it left the reference"),
    Watched(figure="completions/clipped_ratio", limit="most_cut", moved=_more, wrong="answers do not end"),
    Watched(figure="entropy", limit="most_certainty", moved=lambda start, now: _ratio(now, start), wrong="one answer is left"),
    Watched(figure="frac_reward_zero_std", limit="most_alike", moved=lambda _, now: now, wrong="all answers earn the same"),
)


def look(history: Sequence[Entry], limits: Limits) -> list[Finding]:
    """Return how far each figure of a log moved; a figure that has fewer than twice `window` values is not judged yet."""
    found = []
    for each in WATCHED:
        values = [float(entry[each.figure]) for entry in history if entry.get(each.figure) is not None]
        if len(values) >= 2 * limits.window:
            start, now = fmean(values[: limits.window]), fmean(values[-limits.window :])
            found.append(_finding(each, start, now, each.moved(start, now), limits))
    parting = _parting(history, limits)
    return [*found, parting] if parting else found


def _finding(each: Watched, start: float, now: float, moved: float, limits: Limits) -> Finding:
    most = getattr(limits, each.limit)
    return Finding(figure=each.figure, start=start, now=now, moved=moved, limit=each.limit, most=most, wrong=each.wrong)


def _parting(history: Sequence[Entry], limits: Limits) -> Finding | None:
    """Agreement with experts that was lost; it counts where the reward rose at the same time."""
    agreed = [float(entry[EXPERTS]) for entry in history if EXPERTS in entry]
    earned = [float(entry["reward"]) for entry in history if "reward" in entry]
    if len(agreed) < 2 or len(earned) < 2 * limits.window:
        return None
    rose = fmean(earned[-limits.window :]) > fmean(earned[: limits.window])
    lost = agreed[0] - agreed[-1] if rose else 0.0
    wrong = "the reward rises and what experts prefer becomes less likely"
    each = Watched(figure=EXPERTS, limit="most_parting", moved=_more, wrong=wrong)
    return _finding(each, agreed[0], agreed[-1], lost, limits)


class Watch(TrainerCallback):  # type: ignore[misc]
    """Stops a run whose figures moved further than they may, with a checkpoint and a report. `agreement` judges the model."""

    def __init__(self, limits: Limits, agreement: Callable[[Any], float | None], out: Path) -> None:
        self.limits, self.agreement, self.out = limits, agreement, out
        self.crossed: list[Finding] = []

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        """Judge what is there before the first step. Raises TrainingStopped where an earlier session had crossed a limit."""
        if not state.log_history:
            agreed = self.agreement(more["model"])
            if agreed is not None:
                state.log_history.append({EXPERTS: agreed, "step": 0})
        self.crossed = [finding for finding in look(state.log_history, self.limits) if finding.crossed]
        self.stop_if_crossed()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Look at the figures of a step, and end the run where one moved too far."""
        if "reward" not in (logs or {}):
            return
        if state.global_step % self.limits.judge_steps == 0:
            agreed = self.agreement(more["model"])
            if agreed is not None:  # the log of the run, and the lines that others write from it
                state.log_history[-1][EXPERTS] = agreed
                (logs or {})[EXPERTS] = agreed
        self.crossed = [finding for finding in look(state.log_history, self.limits) if finding.crossed]
        if self.crossed:
            control.should_save = control.should_training_stop = True

    def stop_if_crossed(self) -> None:
        """Raise TrainingStopped, naming what moved too far."""
        if self.crossed:
            raise TrainingStopped(
                "; ".join(finding.sentence for finding in self.crossed),
                f"it learns to please the reward; checkpoints and {REPORT}.md are kept in {self.out}",
                "correct the reward, raise beta or lower learning_rate, and begin again in another `out`",
            )


def write(history: Sequence[Entry], limits: Limits, folder: Path) -> list[dict[str, Any]]:
    """Write what the watches saw, for programs and for people; returns it."""
    found = look(history, limits)
    said = [{**asdict(finding), "crossed": finding.crossed} for finding in found]
    write_whole(folder / f"{REPORT}.json", json.dumps(said, indent=1) + "\n")
    text = ["# What the watches saw", "", f"Means of {limits.window} steps at the start and at the end.", ""]
    text += ["| figure | start | end | moved | may move | |", "|---|---|---|---|---|---|"]
    for each in found:
        state = "**too far**" if each.crossed else ""
        text.append(f"| {each.figure} | {each.start:.3f} | {each.now:.3f} | {each.moved:.3f} | {each.most:g} | {state} |")
    text += [] if found else ["", f"Fewer than {2 * limits.window} steps: nothing could be compared."]
    write_whole(folder / f"{REPORT}.md", "\n".join(text) + "\n")
    return said
