"""The loop in small: a few ratings of a tiny model go through every part, and the tables say what came out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_chat
import yaml

from knowledge_base import shipped
from training import as_taught, document_questions, simulated
from training.library import Library

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base whose tokens are words of our requests, tuned for two steps on rows of the project's form."""
    folder = tmp_path_factory.mktemp("tuned")
    library = Library.of(shipped.sheets(), ("en", "zh"))
    asked = [(document, one) for document in list(library.documents)[:12] for one in document_questions.of(library, document)]
    answers = [simulated.answer(library, document, one, (0, 0)) for document, one in asked]
    texts = [text["content"] for answer in answers if answer for text in as_taught.request_of(answer)]
    base = tiny_chat.save_model(folder / "base", texts=texts, vocabulary=2000)
    config = json.loads((base / "config.json").read_text(encoding="utf-8")) | {"max_position_embeddings": 2048}
    (base / "config.json").write_text(json.dumps(config), encoding="utf-8")
    settings = {
        "model": str(base), "data": str(tiny_chat.save_data(folder / "data")), "out": str(folder / "run"), "method": "qlora",
        "rank": 8, "max_steps": 2, "save_steps": 2, "eval_strategy": "no", "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 1, "gradient_checkpointing": False, "optim": "adamw_torch", "max_length": 256,
    }  # fmt: skip
    (folder / "sft.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    _run("-m", "ui.cli", "train", "sft", str(folder / "sft.yaml"), home=folder)
    return folder / "run"


def _run(*arguments: str, home: Path) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AGRI_")}
    variables = {**kept, "AGRI_HOME": str(home), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], env=variables, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:] or done.stdout[-2000:]
    return done.stdout


def test_a_small_run_trains_by_every_method_and_asks_the_gate_and_goes_on_where_it_was(tuned: Path, tmp_path: Path) -> None:
    sizes = {"ratings": 40, "seeds": 1, "prompt": 900, "answer": 96, "held": 4, "held-pairs": 4, "steps": 2, "online-steps": 1,
             "batch": 2, "cases": 4}  # fmt: skip
    command = ["benchmarks/loop.py", "--run", str(tuned), "--out", str(tmp_path), "--parts", "answers", "methods", "sabotage"]
    command += [part for name, value in sizes.items() for part in (f"--{name}", str(value))]
    before = (ROOT / "docs" / "benchmarks.md").read_bytes()
    said = _run(*command, home=tmp_path)
    for method in ("dpo", "kto", "grpo"):
        assert sum(line.startswith(f"| {method} |") for line in said.splitlines()) == 4, said
    verdicts = [line for line in said.splitlines() if "**stopped**" in line or "| promoted |" in line]
    assert len(verdicts) == 6
    poisoned = next(line for line in verdicts if line.startswith("| 5% of the ratings"))
    assert int(poisoned.split("|")[2]) > 0, "the check must stop doses nobody's passages carry"
    assert (ROOT / "docs" / "benchmarks.md").read_bytes() == before, "only a full run is published"
    again = _run(*command, home=tmp_path)
    assert again.count("done before") > 15
