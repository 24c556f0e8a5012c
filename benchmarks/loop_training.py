"""Part 2: from ratings to a trained candidate by the project's own steps, and what it brought on questions held out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import yaml
from loop_answers import Writer
from loop_experts import TIE, utility
from loop_plan import Plan
from numpy.typing import NDArray

from agri_llm.judgements import Material
from training import (
    align,
    align_config,
    chats,
    finished,
    held_out,
    intervals,
    online,
    online_config,
    preferences,
    reward,
    rewards,
    run_files,
    watches,
    win_rate,
)
from training.gate_steps import Held, read_answers
from training.held_out import Rows
from training.judging import ExpertPair
from training.pair_cleaning import Rules
from training.preferences import Snapshot
from training.watches import Limits
from training.win_rate import WinRate

ANSWERS = "answers.jsonl"
RULES = Rules(salt="benchmark")  # those of `agri retrain`
OF_METHOD: dict[str, dict[str, Any]] = {
    # so small a model forgets how to write where it only learns which is better
    "dpo": {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 1.0], "longest_wins": 1.0},
    "kto": {},
    "reward": {"longest_wins": 1.0},
    # it runs to its end, and the table says what the watches would have stopped it for
    "grpo": {
        "num_generations": 4,
        "temperature": 0.5,
        "least_agreement": 0.0,
        "window": 3,
        "judge_steps": 5,
        "most_growth": 99.0,
        "most_repetition": 1.0,
        "most_refusals": 1.0,
        "most_boldness": 1.0,
        "most_kl": 99.0,
        "most_cut": 1.0,
        "most_certainty": 99.0,
        "most_alike": 1.0,
        "most_parting": 1.0,
    },
}


def snapshot(plan: Plan, name: str, said: Material) -> Snapshot:
    """Return the preference data of a material, made once by the steps of `agri data preferences`."""
    folder = plan.out / "data" / name
    return preferences.read(folder) if folder.is_dir() else preferences.build(said, folder, RULES)


def settings(plan: Plan, kind: str, data: Path, out: Path, seed: int, **more: Any) -> Path:
    """Write the settings of a training as a file that its command would read; returns the file."""
    sizes, run = plan.sizes, finished.read(plan.run)
    values: dict[str, Any] = {
        "model": run.base, "data": str(data), "out": str(out), "method": run.method, 
        "max_length": sizes.prompt + 4 * sizes.answer,
        "learning_rate": sizes.learning_rate, "gradient_checkpointing": False, "optim": "adamw_torch", "seed": seed,
        "per_device_train_batch_size": sizes.batch, "gradient_accumulation_steps": 1, "most_lost": 0.2,
        "max_steps": sizes.online_steps if kind == "grpo" else sizes.steps, "save_steps": 20,
        **({} if kind == "grpo" else {"eval_strategy": "no"}), **OF_METHOD[kind], **more,
    }  # fmt: skip
    if kind == "grpo":
        values |= {
            "per_device_train_batch_size": 4 * sizes.batch,
            "max_completion_length": sizes.answer,
            "max_length": sizes.prompt + sizes.answer + 1,
        }
    if kind != "reward":
        values["start"] = str(plan.run)
    else:
        rank = json.loads((plan.run / "run.json").read_text(encoding="utf-8"))["settings"]["rank"]
        values["rank"] = min(16, rank)
    out.parent.mkdir(parents=True, exist_ok=True)
    file = out.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return file


def train(plan: Plan, kind: str, data: Path, out: Path, seed: int, **more: Any) -> dict[str, Any]:
    """Train by the project's own training and return what its record says; a run that stopped goes on."""
    file = settings(plan, kind, data, out, seed, **more)
    if not (out / "run.json").is_file():
        if kind == "grpo":
            online.train(online_config.read(file, "grpo"), plan.tell)
        else:
            (reward if kind == "reward" else align).train(align_config.read(file, kind), plan.tell)  # type: ignore[arg-type]
    said: dict[str, Any] = json.loads((out / "run.json").read_text(encoding="utf-8"))
    return said


class Judging:
    """What candidates are compared on: held-out questions, held-out pairs in the experts' true order, and the start on both."""

    def __init__(self, plan: Plan, held: Held, start: Writer, out: Path) -> None:
        """Take what is held out; what the start answers, and how likely it finds the pairs, is kept in a folder."""
        self.plan, self.held, self._start, self._out = plan, held, start, out
        self.pairs = in_true_order(held)[: plan.sizes.held_pairs]

    @cached_property
    def start_answers(self) -> dict[str, str]:
        """What the start answers to the held-out questions."""
        return self.answers(self._start, self._out)

    @cached_property
    def start_losses(self) -> NDArray[np.float64]:
        """How unlikely the start finds both answers of each pair, in nats, (pairs, 2)."""
        file = self._out / "losses.json"
        if not file.is_file():
            file.write_text(json.dumps(self._losses(self._start).tolist()), encoding="utf-8")
        return np.array(json.loads(file.read_text(encoding="utf-8")), dtype=np.float64)

    def answers(self, writer: Writer, folder: Path) -> dict[str, str]:
        """Return the likeliest answer to every held-out question."""
        folder.mkdir(parents=True, exist_ok=True)
        writer.answer(self.held.prompts, folder / ANSWERS, self.plan.sizes.answer, self.plan)
        return read_answers(folder / ANSWERS)

    def _losses(self, writer: Writer) -> NDArray[np.float64]:
        sides = []
        for side in ("chosen", "rejected"):
            said = [[*pair.messages, {"role": "assistant", "content": getattr(pair, side)}] for pair in self.pairs]
            encoded = tuple(chats.encode(writer.tokenizer, messages, writer.stops) for messages in said)
            found = Rows(encoded=encoded, groups=tuple(pair.group for pair in self.pairs), left_out=0)
            sides.append(held_out.measure(writer.model, found).parts[:, 0])
        return np.stack(sides, axis=1)

    def of(self, run: Path, out: Path) -> dict[str, Any]:
        """Return what a candidate brought, as plain values."""
        writer = Writer(finished.read(run))
        answers = self.answers(writer, out)
        gained = self.start_losses - self._losses(writer)  # how much likelier than to the start, (pairs, 2)
        right = np.where(gained[:, 0] == gained[:, 1], 0.5, gained[:, 0] > gained[:, 1])
        accuracy = intervals.ratio(np.stack([right, np.ones(len(right))], axis=1), [pair.group for pair in self.pairs])
        rate = self.win_rate(answers, self.start_answers)
        return {
            "accuracy": None if accuracy is None else [accuracy.value, accuracy.low, accuracy.high],
            "win rate": asdict(rate),
            **self.looks(answers),
        }

    def win_rate(self, ours: Mapping[str, str], theirs: Mapping[str, str]) -> WinRate:
        """Return how often the experts, without a doubt or a slip, prefer one model's answers to another's."""
        compared = []
        for name, messages in self.held.prompts.items():
            apart = utility(messages, ours[name]) - utility(messages, theirs[name])
            outcome = 0.5 if abs(apart) < TIE else float(apart > 0)
            group, lengths = self.held.groups[name], (len(ours[name]), len(theirs[name]))
            compared.append(win_rate.Comparison(group=group, outcome=outcome, length=lengths[0], other_length=lengths[1]))
        return win_rate.measure(compared)

    def looks(self, answers: Mapping[str, str]) -> dict[str, float]:
        """Return what answers are like: what they are worth, how long, how often said again, dangerous, or fit to be shown."""
        judged = [rewards.judge(messages, answers[name]) for name, messages in self.held.prompts.items()]
        worth = [utility(messages, answers[name]) for name, messages in self.held.prompts.items()]
        carried = [float(each.parts.get("carried", 0.0) == 1) for each in judged]
        return {
            "worth": fmean(worth),
            "carried": fmean(carried),
            "repeated": fmean(rewards.repeated(answers[name]) for name in self.held.prompts),
            "characters": fmean(len(answers[name]) for name in self.held.prompts),
            "dangerous": fmean(float(bool(each.danger)) for each in judged),
        }


def in_true_order(held: Held) -> list[ExpertPair]:
    """Return the held-out pairs as the experts would order them if they never erred, without ties and dangerous ones."""
    found = []
    for pair in held.judged:
        apart = utility(pair.messages, pair.chosen) - utility(pair.messages, pair.rejected)
        if abs(apart) >= TIE:
            found.append(pair if apart > 0 else replace(pair, chosen=pair.rejected, rejected=pair.chosen))
    return found


def crossed(out: Path) -> list[str]:
    """Return what the watches would have stopped a run for, with the limits that people get."""
    history = [json.loads(line) for line in (out / run_files.LOSSES).read_text(encoding="utf-8").splitlines()]
    return [each.sentence for each in watches.look(history, Limits(window=3)) if each.crossed]
