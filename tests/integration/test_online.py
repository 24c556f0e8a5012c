"""GRPO and RLOO on a real four-bit base, going on from a real adapter: what is learned, what holds it, what stops it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_chat
import torch
import yaml
from safetensors.torch import load_file

from agri_llm.errors import BadInput, TrainingStopped
from agri_llm.prompts import REFUSAL_MARK
from training import adapt, align_config, configuration, finished, online, online_config, online_reward, preferences, reward
from training.configuration import Training
from training.online_config import Online
from training.online_reward import Earned

pytestmark = pytest.mark.usefixtures("one_thread")
GOOD, BAD = "Rotate the field.[1]", "Nobody knows at all."


def silent(line: str) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_chat.save_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def start(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished instruction tuning on the base in four bits."""
    folder = tmp_path_factory.mktemp("start")
    data = tiny_chat.save_data(folder / "data")
    file = tiny_chat.save_config(folder / "sft.yaml", base, data, folder / "run", method="qlora", max_steps=6, save_steps=6)
    adapt.train(configuration.read(file, "sft"), silent)
    return folder / "run"


def pair(number: int, side: str) -> dict[str, Any]:
    crop = tiny_chat.CROPS[number % len(tiny_chat.CROPS)]
    chosen = REFUSAL_MARK if number % 4 == 3 else GOOD
    passages = "Passages:\n[1] Rotate the field."
    return {
        "id": f"{side}-{number}", "group": f"{side}-{number}", "split": side, "feedback_ids": [f"said-{number}"],
        "prompt": [{"role": "user", "content": f"{passages}\n\nQuestion: What helps {crop}? ({number})"}],
        "chosen": [{"role": "assistant", "content": chosen}], "rejected": [{"role": "assistant", "content": BAD}],
    }  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rows = [pair(number, side) for side, count in (("train", 12), ("validation", 6)) for number in range(count)]
    preferences.write_part(folder / "pairs", rows)
    preferences.write_part(folder / "single", [])
    return folder


@pytest.fixture
def config(base: Path, start: Path, data: Path, tmp_path: Path) -> Callable[..., Training]:
    """Read the settings of a run that takes seconds, as the command does."""

    def made(kind: Online = "grpo", **values: Any) -> Training:
        said = {
            "model": str(base), "start": str(start), "data": str(data), "out": str(tmp_path / "run"), "rank": 4, "alpha": 8,
            "learning_rate": 0.005, "max_steps": 4, "save_steps": 2, "max_length": 384, "max_completion_length": 12,
            "per_device_train_batch_size": 4, "num_generations": 2, "gradient_checkpointing": False, "optim": "adamw_torch",
            "most_lost": 0.2, "window": 2, "judge_steps": 2, "most_kl": 50.0, "most_alike": 1.0, **values,
        }  # fmt: skip
        file = tmp_path / "online.yaml"
        file.write_text(yaml.safe_dump(said), encoding="utf-8")
        return online_config.read(file, kind)

    return made


def figures(run: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (run / "losses.jsonl").read_text().splitlines()]
    names = ("step", "loss", "grad_norm", "reward", "kl", "entropy", "completions/mean_length")
    return [{name: each[name] for name in names} for each in found if "loss" in each]


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pay for the share of letters e, which a model of random weights can learn within steps."""

    def paid(self: Earned, prompts: Any, completions: Any, asks: Any, **more: Any) -> list[float]:
        texts = [written[0].get("content") or "" for written in completions]
        return [text.count("e") / max(1, len(text)) for text in texts]

    monkeypatch.setattr(Earned, "__call__", paid)


@pytest.mark.parametrize("kind", ["grpo", "rloo"])
@pytest.mark.usefixtures("letters")
def test_it_learns_from_its_own_answers_and_says_what_it_was_paid_for(
    config: Callable[..., Training], start: Path, kind: Online
) -> None:
    told: list[str] = []
    training = config(kind, least_agreement=0.0)
    folder = online.train(training, told.append)
    said = json.loads((training.out / "run.json").read_text())
    assert said["kind"] == kind
    assert said["learning"]["beta"] > 0
    assert said["learning"]["num_generations"] == 2
    assert (kind == "grpo") == (said["learning"].get("scale_rewards") == "group")
    assert said["questions"] == {"answerable": 9, "unanswerable": 3, "left out": 0}
    assert said["feedback_ids"] == sorted(f"said-{number}" for number in range(12))
    assert Path(said["parent_adapter"]["run"]) == start
    assert {each["figure"] for each in said["watches"]} >= {"kl", "entropy", "completions/mean_length"}
    assert any(line.startswith("reference: ") and line.endswith("equal to the start, and fixed") for line in told)
    assert figures(training.out)[0]["kl"] == pytest.approx(0, abs=1e-4)  # the reference is where it began
    assert not (folder / "ref").exists()
    now, then = (load_file(place / "adapter_model.safetensors") for place in (folder, start / "adapter"))
    assert any((now[name] != then[name]).any() for name in now)
    assert finished.read(training.out).kind == kind
    finished.as_trained(finished.read(training.out))


@pytest.mark.usefixtures("letters")
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(
    config: Callable[..., Training], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"least_agreement": 0.0}
    whole = config(out=str(tmp_path / "whole"), **settings)
    online.train(whole, silent)
    step_end = adapt.Stopper.on_step_end

    def asked(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.asked = state.global_step == 2
        step_end(self, args, state, control, **more)

    monkeypatch.setattr(adapt.Stopper, "on_step_end", asked)
    with pytest.raises(TrainingStopped, match="stopped at step 2"):
        online.train(config(out=str(tmp_path / "halved"), **settings), silent)
    monkeypatch.setattr(adapt.Stopper, "on_step_end", step_end)
    halved = config(out=str(tmp_path / "halved"), **settings)
    online.train(halved, silent)
    assert figures(halved.out) == figures(whole.out)
    one, other = (load_file(run.out / "adapter" / "adapter_model.safetensors") for run in (whole, halved))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("off", "words"),
    [
        ({"most_growth": 99.0}, "the reward rises and what experts prefer becomes less likely"),
    ],
    ids=["by experts"],
)
def test_a_model_that_learns_to_write_long_because_that_is_paid_is_stopped(
    config: Callable[..., Training], monkeypatch: pytest.MonkeyPatch, off: dict[str, float], words: str
) -> None:
    def by_length(self: Earned, prompts: Any, completions: Any, asks: Any, **more: Any) -> list[float]:
        return [float(len(ids)) for ids in more.get("completion_ids", completions)]

    monkeypatch.setattr(Earned, "__call__", by_length)
    settings: dict[str, Any] = {
        "max_steps": 40, "save_steps": 20, "learning_rate": 0.02, "max_completion_length": 48, "num_generations": 8,
        "beta": 0.001, "per_device_train_batch_size": 8, "least_agreement": 0.0, "most_growth": 1.1, "most_cut": 1.0,
        "most_certainty": 1e9, **off,
    }  # fmt: skip
    training = config(**settings)
    with pytest.raises(TrainingStopped, match=words):
        online.train(training, silent)
    assert not (training.out / "run.json").exists()
    assert list((training.out / "steps").glob("checkpoint-*"))
    assert "**too far**" in (training.out / "watches.md").read_text()
    with pytest.raises(TrainingStopped, match=words):  # the same command does not go on either
        online.train(config(**settings), silent)


def test_a_reward_model_is_heard_and_one_against_experts_refused(
    config: Callable[..., Training], base: Path, data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "reward.yaml"
    values = {
        "model": str(base), "data": str(data), "out": str(tmp_path / "reward"), "rank": 4, "max_steps": 6, "save_steps": 6,
        "eval_strategy": "no", "learning_rate": 0.01, "per_device_train_batch_size": 4, "gradient_checkpointing": False,
        "optim": "adamw_torch", "longest_wins": 1.0, "max_length": 384,
    }  # fmt: skip
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    reward.train(align_config.read(file, "reward"), silent)
    training = config(reward=str(tmp_path / "reward"), max_steps=1, save_steps=1)
    pairs = [pair(number, "validation") for number in range(6)]
    heard = online_reward.of(training, pairs)
    assert heard.hears
    assert heard.agreement(pairs) == 1.0
    told: list[str] = []
    online.train(training, told.append)
    assert "reward: it prefers what experts prefer in 100% of 6 held-out pairs" in told
    turned = [{**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in pairs]
    with pytest.raises(BadInput, match="the reward prefers what experts prefer in 0% of 6"):
        online_reward.of(training, turned)


def test_data_that_nothing_can_be_asked_from_is_refused(config: Callable[..., Training], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no pairs"):
        online.train(config(data=str(tmp_path)), silent)
    folder = tmp_path / "one"
    folder.mkdir()
    preferences.write_part(folder / "pairs", [pair(0, "train")])
    preferences.write_part(folder / "single", [])
    with pytest.raises(BadInput, match="0 of 1 questions are too long or hold control tokens, and 1 are left"):
        online.train(config(data=str(folder)), silent)
