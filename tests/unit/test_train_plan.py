"""Parameters, memory, steps, hours and money of a training, and the command that prints them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import AutoModelForCausalLM, LlamaConfig, MixtralConfig, Qwen2Config

from agri_llm.errors import BadInput
from training import architecture, configuration, memory, plan
from training.configuration import Adaptation
from training.memory import GIB, Shape
from training.methods import METHODS
from ui import cli

LLAMA_8B = LlamaConfig(
    vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
    num_key_value_heads=8, max_position_embeddings=131072, tie_word_embeddings=False,
)  # fmt: skip
TINY = Qwen2Config(
    vocab_size=500, hidden_size=64, intermediate_size=176, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=256,
)  # fmt: skip
QLORA = Shape(quantised=True, optimiser="paged_adamw_8bit")


def lora(rank: int = 16) -> Any:
    return METHODS["qlora"].make(Adaptation(rank=rank))


@pytest.fixture(scope="module")
def eight_billion() -> architecture.Architecture:
    return architecture.described(LLAMA_8B, lora())


def test_parameters_are_those_of_the_published_model(eight_billion: architecture.Architecture) -> None:
    """8,030,261,248 in Meta's model card; 41.9 M for rank 16 on all matrices (PEFT's own count on the real model)."""
    assert eight_billion.base == 8_030_261_248
    assert eight_billion.adapter == 41_943_040
    assert eight_billion.head == eight_billion.embeddings == 128256 * 4096


@pytest.mark.parametrize("tied", [True, False])
def test_the_parts_add_up_to_a_real_model(tied: bool) -> None:
    config = Qwen2Config(**{**TINY.to_dict(), "tie_word_embeddings": tied})
    real = AutoModelForCausalLM.from_config(config)
    found = architecture.described(config)
    assert found.base == sum(each.numel() for each in real.parameters())
    assert (found.head == 0) == tied
    assert found.small == sum(each.numel() for each in real.parameters() if each.ndim == 1)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_parameters_to_train(method: str) -> None:
    found = architecture.described(TINY, METHODS[method].make(Adaptation()))
    assert (found.adapter > 0) == (method != "full")


def test_a_mixture_of_experts_is_refused_in_one_sentence() -> None:
    with pytest.raises(BadInput, match="no dense decoder"):
        architecture.described(MixtralConfig())


def test_four_bits_and_their_constants_are_4_13_bits_a_parameter(eight_billion: architecture.Architecture) -> None:
    """QLoRA, section 3: 0.127 bits a parameter for the constants once they are quantised too."""
    found = memory.estimate(eight_billion, QLORA)
    assert 8 * found.constants / sum(eight_billion.linear) == pytest.approx(0.127, abs=0.001)
    in_16_bits = 2 * (eight_billion.base - sum(eight_billion.linear))
    assert found.weights == sum(eight_billion.linear) / 2 + in_16_bits


def test_8b_at_2048_tokens_needs_less_than_9_gib(eight_billion: architecture.Architecture) -> None:
    assert 6 < memory.estimate(eight_billion, QLORA).peak / GIB < 9


@pytest.mark.parametrize(
    ("more", "part"),
    [
        ({"quantised": False}, "weights"),
        ({"checkpointing": False}, "activations"),
        ({"optimiser": "adamw_torch"}, "optimiser"),
        ({"sequence_length": 8192}, "activations"),
        ({"fused_loss": False}, "loss"),
        ({"weight_bytes": 4}, "weights"),
        ({"batch_size": 4}, "activations"),
    ],
)
def test_every_choice_that_costs_memory_does(eight_billion: architecture.Architecture, more: dict[str, Any], part: str) -> None:
    before, after = memory.estimate(eight_billion, QLORA), memory.estimate(eight_billion, replace(QLORA, **more))
    assert getattr(after, part) > getattr(before, part)
    assert after.peak > before.peak


def test_packed_batches_pay_for_a_square_that_flash_attention_does_not_need(eight_billion: architecture.Architecture) -> None:
    packed = replace(QLORA, batch_size=8)
    flash = replace(packed, kernel="flash")
    saved = memory.estimate(eight_billion, packed).peak - memory.estimate(eight_billion, flash).peak
    assert saved > 2 * (8 * 2048) ** 2


def test_operations_are_four_a_frozen_parameter_and_six_a_trained_one(eight_billion: architecture.Architecture) -> None:
    frozen = architecture.step_flops(eight_billion, 1000, 0, frozen=True) / 1000
    full = architecture.step_flops(eight_billion, 1000, 0, frozen=False) / 1000
    matrices = sum(eight_billion.linear) + eight_billion.head
    assert frozen == pytest.approx(4 * matrices + 6 * eight_billion.adapter)
    assert full == pytest.approx(6 * matrices)
    assert architecture.step_flops(eight_billion, 1000, 2048, frozen=True) > 1000 * frozen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model without weights, a data set of 40 rows, and a configuration."""
    TINY.save_pretrained(tmp_path / "model")
    text = "Remove infected plants and burn them far from the field.[1] " * 4
    rows = [
        {"kind": "grounded", "messages": [{"role": "user", "content": "How?"}, {"role": "assistant", "content": text}]}
        for _ in range(40)
    ]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = {
        "model": str(tmp_path / "model"), "data": str(tmp_path / "data"), "max_length": 150, "num_train_epochs": 2,
        "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "rank": 8,
    }  # fmt: skip
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path


@pytest.fixture
def agri(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def command(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["agri", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return command


def test_a_plan_says_steps_hours_and_money(folder: Path, agri: Callable[..., tuple[int, str, str]]) -> None:
    given = ("--tokens-per-second", "100", "--price", "3", "--gpus", "2", "--card-gib", "24", "--json")
    status, out, _ = agri("train", "plan", str(folder / "plan.yaml"), *given)
    found = json.loads(out)
    assert status == 0
    assert found["rows"] == 40
    assert found["batches"]["sequences"] == 20  # two rows of about 72 tokens go into one of 150
    assert found["steps"] == 2 * 3  # 20 sequences in steps of 2 × 2 × 2, twice
    assert found["hours"] == pytest.approx(found["tokens"] / 100 / 3600)
    assert found["cost"] == pytest.approx(2 * 3 * found["hours"])
    assert found["fits"] is True
    assert found["parameters"]["adapter"] == architecture.described(TINY, lora(8)).adapter
    assert found["tokens_estimated_from_letters"] is True
    assert found["memory_bytes"]["peak"] == max(found["memory_bytes"]["moments"].values())


def test_a_plan_is_a_table_for_people(folder: Path, agri: Callable[..., tuple[int, str, str]]) -> None:
    status, out, _ = agri("train", "plan", str(folder / "plan.yaml"), "--card-gib", "0.5")
    assert status == 0
    for word in ("parameters", "constants", "optimiser", "Besiroglu", "Muennighoff", "does not fit 0.5 GiB", "not known"):
        assert word in out


def test_the_speed_of_a_finished_run_is_taken(folder: Path, agri: Callable[..., tuple[int, str, str]]) -> None:
    (folder / "run").mkdir()
    status, _, said = agri("train", "plan", str(folder / "plan.yaml"), "--measured", str(folder / "run"))
    assert status == 1
    assert "no finished run" in said
    (folder / "run" / "run.json").write_text('{"tokens_per_second": 50}')
    assert agri("train", "plan", str(folder / "plan.yaml"), "--measured", str(folder / "run"))[0] == 0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"method": "magic"}, "sets method to 'magic'"),
        ({"max_length": 20}, "every row is longer than 20"),
        ({"per_device_train_batch_size": 0}, "must be 1 or more"),
        ({"model": "/no/where"}, "no configuration that can be read"),
        ({"model": ""}, "does not say 'model'"),
        ({"targets": "q_projection"}, "the adapter does not fit the model"),
        ({"colour": "red"}, "sets 'colour'"),
    ],
)
def test_settings_that_cannot_work_are_one_sentence(
    folder: Path, agri: Callable[..., tuple[int, str, str]], changed: dict[str, Any], said: str
) -> None:
    before = yaml.safe_load((folder / "plan.yaml").read_text())
    (folder / "plan.yaml").write_text(yaml.safe_dump({**before, **changed}))
    status, out, err = agri("train", "plan", str(folder / "plan.yaml"))
    assert (status, out) == (1, "")
    assert said in err.splitlines()[-1]


def test_without_the_packages_of_training_one_sentence_names_the_extra(
    folder: Path, agri: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    for command in ("plan", "sft", "pretrain"):
        status, _, err = agri("train", command, str(folder / "plan.yaml"))
        assert (status, err) == (
            1, "TRL is not installed: language models are trained with it; run `make setup EXTRAS=train`.\n"
        )  # fmt: skip


def test_a_plan_reads_what_the_training_reads(folder: Path, agri: Callable[..., tuple[int, str, str]]) -> None:
    """The same file and flags, the very estimate that the training compares with its card, and texts cut as it cuts them."""
    flags = ("--max_length", "64", "--rank", "4", "--most_lost", "1")
    settings = configuration.read(folder / "plan.yaml", "pretrain", [*flags, "--out", "x", "--card_gib", "80"])
    rows = [json.dumps({"kind": "pretraining", "text": "Burn them. " * 40}) for _ in range(8)]
    with (folder / "data" / "train.jsonl").open("a") as file:
        file.write("\n" + "\n".join(rows))
    status, out, err = agri("train", "plan", str(folder / "plan.yaml"), "--pretrain", "--card-gib", "80", "--json", *flags)
    found = json.loads(out)
    assert status == 0
    assert "rank=4 (flag)" in err
    assert (found["rows"], found["batches"]["too_long"]) == (8, 0)
    assert found["batches"]["sequences"] > 8
    assert found["needed_gib"] == pytest.approx(plan.peak_bytes(settings) / GIB, abs=0.01)
