"""DPO and KTO on a real four-bit base, going on from a real adapter: what is learned, what it is held to, what stops it."""

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

from agri_llm.errors import AgriError, BadInput, TrainingStopped
from training import adapt, align, align_config, configuration, finished, preferences
from training.configuration import Training

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
    file = tiny_chat.save_config(folder / "sft.yaml", base, data, folder / "run", method="qlora", max_steps=4, save_steps=4)
    adapt.train(configuration.read(file, "sft"), silent)
    return folder / "run"


def pair(number: int, side: str, chosen: str = GOOD, rejected: str = BAD) -> dict[str, Any]:
    crop = tiny_chat.CROPS[number % len(tiny_chat.CROPS)]
    return {
        "id": f"{side}-{number}",
        "group": f"{side}-{number}",
        "split": side,
        "prompt": [{"role": "user", "content": f"What helps {crop}? ({number})"}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
        "feedback_ids": [f"said-{number}"],
    }


def save_pairs(folder: Path, rows: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    preferences.write_part(folder / "pairs", rows)
    single = [
        {**{name: row[name] for name in ("group", "split", "prompt", "feedback_ids")}, "id": f"{row['id']}-{label}",
         "completion": row["chosen" if label else "rejected"], "label": label}
        for row in rows for label in (True, False)
    ]  # fmt: skip
    preferences.write_part(folder / "single", single)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [pair(number, "train") for number in range(16)] + [pair(number, "validation") for number in range(6)]
    return save_pairs(tmp_path_factory.mktemp("data"), rows)


@pytest.fixture
def config(base: Path, start: Path, data: Path, tmp_path: Path) -> Callable[..., Training]:
    """Read the settings of a run that takes seconds, as the command does."""

    def made(kind: align_config.Preference = "dpo", **values: Any) -> Training:
        said = {
            "model": str(base), "start": str(start), "data": str(data), "out": str(tmp_path / "run"), "method": "qlora",
            "rank": 4, "alpha": 8, "learning_rate": 0.005, "max_steps": 6, "save_steps": 3, "eval_steps": 3, "max_length": 256,
            "per_device_train_batch_size": 4, "gradient_checkpointing": False, "optim": "adamw_torch",
            **values,
        }  # fmt: skip
        file = tmp_path / "align.yaml"
        file.write_text(yaml.safe_dump(said), encoding="utf-8")
        return align_config.read(file, kind)

    return made


def losses(run: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (run / "losses.jsonl").read_text().splitlines()]
    return [{name: each[name] for name in ("step", "loss", "grad_norm")} for each in found if "loss" in each]


@pytest.mark.parametrize(
    ("losses_of", "first"),
    [(["sigmoid"], 0.693147), (["ipo"], 25.0), (["robust"], 0.693147), (["sigmoid_norm"], 0.693147)],
    ids=lambda value: str(value),
)
def test_every_loss_begins_where_policy_and_reference_are_one(
    config: Callable[..., Training], losses_of: list[str], first: float
) -> None:
    noise = {"label_smoothing": 0.1} if losses_of == ["robust"] else {}
    training = config(loss_type=losses_of, max_steps=1, eval_strategy="no", **noise)
    align.train(training, silent)
    (step,) = losses(training.out)
    assert step["loss"] == pytest.approx(first, rel=1e-4)


def test_dpo_learns_what_is_preferred_on_questions_it_never_saw(config: Callable[..., Training], start: Path) -> None:
    told: list[str] = []
    training = config()
    folder = align.train(training, told.append)
    said = json.loads((training.out / "run.json").read_text())
    before, after = said["held_out"][0], said["held_out"][-1]
    assert before["rewards/margins"] == 0
    assert after["rewards/accuracies"] == 1.0
    assert after["loss"] < before["loss"] - 0.1
    assert said["feedback_ids"] == sorted(f"said-{number}" for number in range(16))
    assert Path(said["parent_adapter"]["run"]) == start
    assert any(line.startswith("reference: ") and line.endswith("equal to the start, and fixed") for line in told)
    assert any(line.startswith("start: held-out loss") for line in told)
    # what lies there is the one adapter, in a form that answering and export load
    assert not (folder / "ref").exists()
    now, then = (load_file(place / "adapter_model.safetensors") for place in (folder, start / "adapter"))
    assert now.keys() == then.keys()
    assert all((now[name] != then[name]).float().mean() > 0.9 for name in now if "lora_A" in name)
    assert finished.read(training.out).kind == "dpo"
    finished.as_trained(finished.read(training.out))


def test_the_reference_is_the_start_number_by_number(config: Callable[..., Training], start: Path) -> None:
    training = config(max_steps=1)
    kept: dict[str, torch.Tensor] = {}
    built = align.build

    def watched(*arguments: Any) -> Any:
        trainer = built(*arguments)
        kept.update({name: weight.clone() for name, weight in trainer.model.named_parameters() if ".ref." in name})
        return trainer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(align, "build", watched)
        align.train(training, silent)
    began = load_file(start / "adapter" / "adapter_model.safetensors")
    assert len(kept) == len(began)
    for name, weight in kept.items():
        assert torch.equal(weight, began[name.replace(".ref.", ".")].float())


def test_kto_learns_from_single_answers(config: Callable[..., Training]) -> None:
    training = config("kto", max_steps=8)
    align.train(training, silent)
    said = json.loads((training.out / "run.json").read_text())
    assert said["held_out"][-1]["rewards/margins"] > 0.05
    assert said["first_loss"] == pytest.approx(0.5, abs=1e-4)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(config: Callable[..., Training], tmp_path: Path) -> None:
    whole = config(out=str(tmp_path / "whole"))
    align.train(whole, silent)
    halved = config(out=str(tmp_path / "halved"))
    told: list[str] = []

    def stop(line: str) -> None:
        told.append(line)

    with pytest.MonkeyPatch.context() as patch:
        step_end = adapt.Stopper.on_step_end

        def asked(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
            self.asked = state.global_step == 3
            step_end(self, args, state, control, **more)

        patch.setattr(adapt.Stopper, "on_step_end", asked)
        with pytest.raises(TrainingStopped, match="stopped at step 3"):
            align.train(halved, stop)
    align.train(config(out=str(tmp_path / "halved")), stop)
    assert "going on from checkpoint-3" in told
    assert losses(halved.out) == losses(whole.out)
    one, other = (load_file(run.out / "adapter" / "adapter_model.safetensors") for run in (whole, halved))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_another_reference_than_the_start_stops_the_run_at_its_first_step(config: Callable[..., Training]) -> None:
    built = align.build

    def moved(*arguments: Any) -> Any:
        trainer = built(*arguments)
        for name, weight in trainer.model.named_parameters():
            if ".ref." in name:
                weight.data += 0.05
        return trainer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(align, "build", moved)
        with pytest.raises(BadInput, match=r"is not what learning starts from"):
            align.train(config(), silent)
        patch.setattr(align, "check_reference", lambda trainer: "reference: not looked at")
        with pytest.raises(BadInput, match=r"the first loss is .+ and should be 0.693147"):
            align.train(config(), silent)


def test_without_a_start_the_reference_is_the_base(config: Callable[..., Training]) -> None:
    told: list[str] = []
    training = config(start="", max_steps=1, eval_strategy="no")
    align.train(training, told.append)
    assert "reference: the base without the adapter" in told
    assert losses(training.out)[0]["loss"] == pytest.approx(0.693147, abs=1e-4)


TRAIN, HELD = [pair(number, "train") for number in range(4)], pair(9, "validation")
LONGER = [pair(number, "train", f"{GOOD} {GOOD} {GOOD}") for number in range(4)]
TOO_LONG = [pair(number, "train", "word " * 300) for number in range(4)]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([pair(0, "train", GOOD, GOOD), HELD], "is a tie: both answers are equal"),
        ([pair(0, "train"), HELD], "has 1 row to learn from"),
        ([*LONGER, HELD], "the longer answer is the better one in 100%"),
        (TRAIN, "has no rows in validation"),
        ([*TOO_LONG, HELD], "4 of the rows cannot be used"),
        ([{**row, "group": "same"} for row in (*TRAIN, HELD)], "stand on both sides"),
    ],
    ids=["tie", "one row", "length", "no validation", "too long", "groups"],
)
def test_data_that_nothing_good_can_be_learned_from_is_refused(
    config: Callable[..., Training], tmp_path: Path, rows: list[dict[str, Any]], sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        align.train(config(data=str(save_pairs(tmp_path / "bad", rows))), silent)


def test_kto_needs_both_labels(config: Callable[..., Training], data: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (data / "single" / "train.jsonl").read_text().splitlines()]
    rows += [json.loads(line) for line in (data / "single" / "validation.jsonl").read_text().splitlines()]
    folder = tmp_path / "bad"
    folder.mkdir()
    preferences.write_part(folder / "single", [row for row in rows if row["label"]])
    with pytest.raises(BadInput, match="every answer is good"):
        align.train(config("kto", data=str(folder)), silent)


def test_settings_that_cannot_work_are_refused(
    config: Callable[..., Training], base: Path, start: Path, tmp_path: Path
) -> None:
    for values, sentence in (
        ({"betta": 1}, "no setting has this name"),
        ({"sync_ref_model": True}, "leave it out"),
        ({"method": "full"}, "aligns with method full"),
        ({"muon": True}, "sets muon"),
        ({"data": ""}, "does not say 'data'"),
    ):
        with pytest.raises(BadInput, match=sentence):
            config(**values)
    with pytest.raises(BadInput, match="sets per_device_train_batch_size to 1"):
        config("kto", per_device_train_batch_size=1)
    other = tiny_chat.save_model(tmp_path / "other", seed=8)
    for values, sentence in (
        ({"model": str(other)}, "whose weights are not those of"),
        ({"method": "lora"}, "set four_bit: true"),
        ({"start": str(tmp_path)}, "is no run"),
        ({"data": str(tmp_path)}, "holds no pairs"),
    ):
        with pytest.raises(AgriError, match=sentence):
            align.train(config(**values), silent)


@pytest.mark.parametrize("kind", ["dpo", "kto"])
def test_the_shipped_configurations_are_read(kind: align_config.Preference) -> None:
    for name in (kind, f"smoke-{kind}"):
        found = align_config.read(
            Path(f"training/configs/{name}.yaml"), kind, ["--model", "M", "--data", "D", "--out", "O", "--start", "S"]
        )
        assert found.ours.quantised
