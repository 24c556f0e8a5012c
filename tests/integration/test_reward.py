"""A reward model on a real four-bit base: what it learns, how sure it says it is, loaded again, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_chat
import yaml

from agri_llm.errors import AgriError, BadInput
from training import align_config, finished, preferences, reward, reward_report
from training.configuration import Training
from training.reward import Reward
from training.reward_report import Scored

pytestmark = pytest.mark.usefixtures("one_thread")
GOOD, BAD = "Rotate the field.[1]", "Nobody knows it."


def silent(line: str) -> None:
    """Nobody listens."""


def pair(number: int, side: str) -> dict[str, Any]:
    crop = tiny_chat.CROPS[number % len(tiny_chat.CROPS)]
    texts = {"chosen": f"{GOOD} For {number} years.", "rejected": f"{BAD} For {number} years, and some more."}
    return {
        "id": f"{side}-{number}",
        "group": f"{side}-{number}",
        "language": "en",
        "split": side,
        "prompt": [{"role": "user", "content": f"What helps {crop}? ({number})"}],
        **{name: [{"role": "assistant", "content": text}] for name, text in texts.items()},
    }


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_chat.save_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rows = [pair(number, side) for side, count in (("train", 24), ("validation", 8), ("test", 12)) for number in range(count)]
    preferences.write_part(folder / "pairs", rows)
    return folder


def read(folder: Path, base: Path, data: Path, **values: Any) -> Training:
    said = {
        "model": str(base), "data": str(data), "out": str(folder / "run"), "method": "qlora", "rank": 4, "alpha": 8,
        "learning_rate": 0.01, "max_steps": 12, "save_steps": 6, "eval_steps": 6, "max_length": 256,
        "per_device_train_batch_size": 4, "gradient_checkpointing": False, "optim": "adamw_torch", **values,
    }  # fmt: skip
    file = folder / "reward.yaml"
    file.write_text(yaml.safe_dump(said), encoding="utf-8")
    return align_config.read(file, "reward")


@pytest.fixture(scope="module")
def trained(base: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    training = read(tmp_path_factory.mktemp("reward"), base, data)
    reward.train(training, silent)
    return training.out


def test_it_learns_what_experts_prefer_and_says_how_far(trained: Path) -> None:
    said = json.loads((trained / "run.json").read_text())
    assert said["kind"] == "reward"
    assert said["report"]["accuracy"][0] == 1.0
    assert said["report"]["pairs"] == 12
    assert said["report"]["by_length"] == 1.0  # the worse one is always the longer one
    assert said["report"]["languages"] == {"en": [1.0, 12]}
    text = (trained / "calibration.md").read_text()
    assert "it prefers what experts prefer in 100%" in text
    assert not list((trained / "adapter").glob("*.bin"))


def test_loaded_again_it_scores_the_same_alone_and_together(trained: Path, base: Path) -> None:
    loaded = Reward.load(trained, str(base))
    prompts = [({"role": "user", "content": f"What helps wheat? ({number})"},) for number in range(11)]
    answers = [GOOD if number % 2 else f"{BAD} {'word ' * number}" for number in range(11)]
    together = loaded.score(prompts, answers)
    alone = [loaded.score([prompt], [text])[0] for prompt, text in zip(prompts, answers, strict=True)]
    assert together == pytest.approx(alone, abs=0.05)  # a base in bfloat16 tells scores near 4 apart by 0.03
    assert min(together[1::2]) > max(together[::2])


def test_another_base_and_another_kind_of_run_are_refused(trained: Path, base: Path, tmp_path: Path) -> None:
    other = tiny_chat.save_model(tmp_path / "other", seed=8)
    with pytest.raises(AgriError, match="whose weights are not those of"):
        Reward.load(trained, str(other))
    with pytest.raises(BadInput, match="is a run of another kind"):
        finished.read(trained)
    (tmp_path / "run.json").write_text('{"kind": "sft"}', encoding="utf-8")
    with pytest.raises(BadInput, match="trained no reward model"):
        Reward.load(tmp_path, str(base))


def test_a_reward_model_goes_on_from_no_other_run(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has another head than a model that writes"):
        read(tmp_path, base, data, start="somewhere")


def test_the_shipped_configurations_are_read() -> None:
    flags = ["--model", "M", "--data", "D", "--out", "O"]
    for name in ("reward", "smoke-reward"):
        found = align_config.read(Path(f"training/configs/{name}.yaml"), "reward", flags)
        assert found.ours.quantised
        assert found.args.center_rewards_coefficient == 0.01  # type: ignore[attr-defined]


@pytest.mark.parametrize(("sure", "error"), [(2.0, 0.0), (6.0, 0.0)], ids=["little apart", "far apart"])
def test_chances_are_fitted_to_how_often_it_is_right(sure: float, error: float) -> None:
    def some(count: int) -> list[Scored]:
        return [Scored(group=str(at), language="en", apart=sure if at % 4 else -sure, longer=(-1) ** at) for at in range(count)]

    report = reward_report.of(some(200), some(200))
    ((said, share, count),) = report["bins"]
    assert share == pytest.approx(0.75)
    assert said == pytest.approx(0.75, abs=0.01)
    assert count == 200
    assert report["calibration_error"] == pytest.approx(error, abs=0.01)
    assert report["by_length"] == pytest.approx(0.5)
    assert reward_report.of(some(10), []) == {}
    assert reward_report.lines({}) == ["no held-out pairs: nothing shows how far it agrees with experts"]
