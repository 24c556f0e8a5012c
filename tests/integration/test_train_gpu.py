"""The benchmark of a GPU, all of it that runs without one: the same functions, with a tiny decoder on the processor."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from test_local_writer import CHATML, save_tokenizer
from transformers import AutoConfig

ROOT = Path(__file__).resolve().parents[2]
SIZES = {
    "vocab_size": 300, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "tie_word_embeddings": False,
}  # fmt: skip
MARKED = CHATML.replace(
    "{{ message['content'] }}<|im_end|>\n",
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}<|im_end|>\n{% endgeneration %}"
    "{% else %}{{ message['content'] }}<|im_end|>\n{% endif %}",
)


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    pytest.importorskip("trl")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        module = importlib.import_module("train_gpu")
        patch.setattr(module, "WARM", 1)
        patch.setattr(module, "TIMED", 2)
        yield module


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder, MARKED)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    def row(times: int) -> str:
        answer = "Remove infected tomato plants and burn them far from the field.[1]" * times
        return json.dumps({"messages": [{"role": "user", "content": "How?"}, {"role": "assistant", "content": answer}]})

    (tmp_path / "rows.jsonl").write_text("\n".join(row(1 + number % 3) for number in range(24)))
    return tmp_path / "rows.jsonl"


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_a_random_decoder_is_in_four_bits_and_answers(benchmark: ModuleType, kind: str) -> None:
    from bitsandbytes.nn import Linear4bit

    config = AutoConfig.for_model(kind, **SIZES)
    model = benchmark.random_model(config, "cpu")
    matrices = [each for each in model.modules() if isinstance(each, Linear4bit)]
    assert len(matrices) == 7 * SIZES["num_hidden_layers"]
    assert all(each.weight.quant_state is not None and each.weight.quant_state.nested for each in matrices)
    assert not [name for name, each in model.state_dict().items() if each.device.type == "meta"]
    logits = model(input_ids=torch.tensor([[5, 6, 7]])).logits
    assert logits.shape == (1, 3, SIZES["vocab_size"])
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", ["plain TRL script", "ours", "not packed", "loss not fused"])
def test_a_row_is_measured(benchmark: ModuleType, tokenizer: Any, rows: Path, name: str) -> None:
    config = AutoConfig.for_model("qwen2", **SIZES)
    row = next(each for each in benchmark.rows() if each.name == name)
    if row.settings:
        row = replace(row, settings={**row.settings, "max_length": 256, "per_device_train_batch_size": 2})
    data = benchmark.encoded(rows, tokenizer, SIZES["vocab_size"], 256)
    found = benchmark.measured(row, config, tokenizer, data, "cpu")
    assert found["tokens_per_second"] > 0
    assert found["flops_per_second"] > 0
    assert found["peak_gib"] is None  # a processor's peak would say nothing
    packed = row.settings.get("packing", False)
    assert found["filled"] == 1 if packed else found["filled"] < 1


def test_only_what_the_assistant_says_is_learned_and_no_token_is_foreign(
    benchmark: ModuleType, tokenizer: Any, rows: Path
) -> None:
    data = benchmark.encoded(rows, tokenizer, 200, 256)
    assert max(token for row in data for token in row["input_ids"]) < 200
    assert all(0 < sum(label != -100 for label in row["labels"]) < len(row["labels"]) for row in data)


def test_padding_is_no_real_token(benchmark: ModuleType) -> None:
    ids = torch.ones(2, 4, dtype=torch.long)
    assert benchmark.real_tokens({"input_ids": ids, "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0]])}) == (5, 8)
    assert benchmark.real_tokens({"input_ids": ids}) == (8, 8)


@pytest.mark.parametrize(
    ("limit", "most", "found"), [(5000, 16000, 4096), (999, 16000, 0), (10**9, 16000, 15360), (1024, 16000, 1024)]
)
def test_the_longest_row_is_found_by_halving(benchmark: ModuleType, limit: int, most: int, found: int) -> None:
    tried: list[int] = []

    def tries(length: int) -> bool:
        tried.append(length)
        return length <= limit

    assert benchmark.longest(tries, most) == found
    assert len(tried) < 12


def test_results_are_kept_row_by_row_and_failures_are_named(benchmark: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    options = argparse.Namespace(minutes=1.0, results=file, only="qwen2.5-7b | ours, least")
    benchmark.keep(file, "qwen2.5-7b | ours", {"tokens_per_second": 1.0})
    benchmark.run(options, [sys.executable, "-c", "raise SystemExit('no such card')"])
    assert benchmark.kept(file) == {
        "qwen2.5-7b | ours": {"tokens_per_second": 1.0},
        "qwen2.5-7b | ours, least memory": {"failed": "no such card"},
    }


def test_a_table_marks_what_is_theirs_and_what_is_not_measured(benchmark: ModuleType) -> None:
    table = importlib.import_module("train_gpu_table")
    speeds = {"plain TRL script": 1000.0, "ours": 3000.0}
    results = {
        f"qwen2.5-7b | {name}": {
            "tokens_per_second": speed, "filled": 1.0, "peak_gib": 7.0, "planned_gib": 7.5, "flops_per_second": 98.9e12,
            "card": "NVIDIA H200",
        }
        for name, speed in speeds.items()
    }  # fmt: skip
    text = table.text_of(results, benchmark.models())
    assert "| ours | 3000 | 100% | 7.00 | 7.50 | 10.0% | 3.00 |" in text
    assert "| compiled | not measured |" in text
    assert "*torchtune" in text
    assert table.peak_of("NVIDIA H100 PCIe") == 756e12
    assert table.peak_of("a card of tomorrow") is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, so it would measure")
def test_without_a_gpu_the_table_says_not_measured(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("# Benchmarks\n")
    monkeypatch.setattr(sys.modules["report"], "PAGE", page)
    monkeypatch.setattr(sys, "argv", ["train_gpu.py", "run", "--results", str(tmp_path / "none.json")])
    benchmark.main()
    assert "There is no GPU here" in capsys.readouterr().err
    assert page.read_text().count("not measured") > 20
