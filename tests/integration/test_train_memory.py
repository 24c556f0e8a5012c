"""What a plan says of memory, against what torch allocates while TRL trains a small model."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from training.memory import Shape

ROOT = Path(__file__).resolve().parents[2]
MEASURED = ["full, float32, all kept", "LoRA, bfloat16, all kept", "QLoRA, NF4, checkpointing", "QLoRA, NF4, wide layers"]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    pytest.importorskip("trl")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        return importlib.import_module("train_memory")


@pytest.mark.parametrize("name", MEASURED)
def test_memory_is_estimated_within_15_percent(benchmark: ModuleType, name: str, one_thread: None) -> None:
    case = next(case for case in benchmark.cases() if case.name == name)
    seen = benchmark.measured(case)
    assert benchmark.estimated(case).peak == pytest.approx(seen, rel=0.15)


def test_weights_of_a_4_bit_model_are_counted_to_the_byte(benchmark: ModuleType, tmp_path: Path) -> None:
    """Matrices, constants, embeddings and adapters as bitsandbytes and PEFT hold them."""
    sizes = {**benchmark.SMALL, "vocab_size": 500}
    shape = Shape(quantised=True, **benchmark.ON_PROCESSOR)
    case = benchmark.Case(name="weights", sizes=sizes, shape=shape)
    said = benchmark.estimated(case)
    held = benchmark.held(benchmark.trainer(case, tmp_path).model)
    assert said.weights + said.constants + said.adapters == pytest.approx(held, rel=0.005)
