"""Watches over a run: what each figure may do, what stops it, and what is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agri_llm.errors import TrainingStopped
from training import watches
from training.watches import Limits, Watch

STILL: dict[str, float] = {
    "reward": 0.1, "completions/mean_length": 40.0, "said_again": 0.02, "refused_answerable": 0.1, "refused_unanswerable": 0.9,
    "kl": 0.01, "completions/clipped_ratio": 0.0, "entropy": 1.2, "frac_reward_zero_std": 0.3, watches.EXPERTS: 0.7,
}  # fmt: skip


def run(steps: int = 12, **moved: float) -> list[dict[str, Any]]:
    """A log in which figures stand still for half of the steps and are moved after that."""
    later = {**STILL, **{name.replace("__", "/"): value for name, value in moved.items()}}
    return [{**(STILL if step < steps // 2 else later), "step": step + 1} for step in range(steps)]


def crossed(history: list[dict[str, Any]], limits: Limits | None = None) -> list[str]:
    return [finding.figure for finding in watches.look(history, limits or Limits()) if finding.crossed]


def test_a_run_that_stands_still_crosses_nothing_and_every_figure_is_looked_at() -> None:
    found = watches.look(run(), Limits())
    assert not [finding for finding in found if finding.crossed]
    assert {finding.figure for finding in found} == STILL.keys() - {"reward"}


@pytest.mark.parametrize(
    ("figure", "now", "words"),
    [
        ("completions__mean_length", 90.0, "answers grow"),
        ("said_again", 0.3, "answers repeat themselves"),
        ("refused_answerable", 0.5, "it refuses what it could answer"),
        ("refused_unanswerable", 0.4, "it answers what nobody wrote"),
        ("kl", 0.9, "it left the reference"),
        ("completions__clipped_ratio", 0.6, "answers do not end"),
        ("entropy", 0.1, "one answer is left"),
        ("frac_reward_zero_std", 1.0, "all answers earn the same"),
    ],
)
def test_each_figure_that_moves_too_far_is_named(figure: str, now: float, words: str) -> None:
    (finding,) = [finding for finding in watches.look(run(**{figure: now}), Limits()) if finding.crossed]
    assert finding.sentence.startswith(f"{words}: {figure.replace('__', '/')} is {now:.3g}")


@pytest.mark.parametrize(("earned", "stops"), [(0.5, True), (0.05, False)], ids=["the reward rises", "the reward falls"])
def test_losing_experts_counts_where_the_reward_rises(earned: float, stops: bool) -> None:
    history = run(reward=earned, **{watches.EXPERTS.replace("/", "__"): 0.5})
    assert crossed(history) == ([watches.EXPERTS] if stops else [])


def test_one_bad_step_and_too_few_steps_stop_nothing() -> None:
    history = run()
    history[-1]["completions/mean_length"] = 100.0
    assert not crossed(history)
    assert crossed(history, Limits(window=1)) == ["completions/mean_length"]
    assert not watches.look(run(8), Limits())[:-1]


def test_shorter_answers_fewer_refusals_and_more_entropy_are_no_fault() -> None:
    moved = {"completions__mean_length": 20.0, "refused_answerable": 0.0, "refused_unanswerable": 1.0, "entropy": 2.0}
    assert not crossed(run(**moved))


def test_what_the_watches_saw_is_written(tmp_path: Path) -> None:
    said = watches.write(run(kl=0.9), Limits(), tmp_path)
    assert json.loads((tmp_path / "watches.json").read_text()) == said
    assert "| kl | 0.010 | 0.900 | 0.900 | 0.5 | **too far** |" in (tmp_path / "watches.md").read_text()
    watches.write([], Limits(), tmp_path)
    assert "Fewer than 10 steps" in (tmp_path / "watches.md").read_text()


def test_a_run_that_a_watch_has_ended_does_not_go_on(tmp_path: Path) -> None:
    class State:
        log_history = run(kl=0.9)

    watch = Watch(Limits(), lambda model: None, tmp_path)
    with pytest.raises(TrainingStopped, match="it left the reference"):
        watch.on_train_begin(None, State(), None, model=None)  # type: ignore[arg-type]
