"""The smoke version of the chain: killed in the middle of a training, taken up again, and read to the last figure."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tiny_chat
import yaml
from some_sheets import copied

from knowledge_base import shipped
from training import chain, data_config, dataset, marked_steps, rows

ROOT = Path(__file__).resolve().parents[2]
MODEL = Path(os.environ.get("AGRI_TEST_MODELS", "")) / "stories260k-llama"
needs_model = pytest.mark.skipif(not MODEL.is_dir(), reason="AGRI_TEST_MODELS names no folder with stories260k-llama")
STEPS = ["1-data", "2-texts", "3-tokenizer", "4-decoder", "5-ngrams", "6-rows", "7a-sft", "8-figures"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of a few sheets, built as `agri data build` does."""
    folder = tmp_path_factory.mktemp("few")
    sources = [{"name": "sheets", "sort": "sheets", "pretraining": True}]
    shares = {"seed": 4, "validation": 0.15, "test": 0.25}  # the seed leaves a sheet on each side
    config = {**shares, "evaluation": [], "sources": sources}
    (folder / "data.yaml").write_text(yaml.safe_dump(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipped, "CORPUS", copied(folder / "corpus"))
        dataset.Build(config=data_config.read(folder / "data.yaml"), out=folder / "data").run()
    return folder / "data"


def begun(data: Path, texts: Path, out: Path, log: Path) -> subprocess.Popen[str]:
    said = ["train", "chain", "training/configs/smoke-chain", "--data", str(data), "--texts", str(texts), "--out", str(out)]
    command = [sys.executable, "-c", "from ui.cli import main; main()", *said]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with log.open("w") as file:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=file, text=True)


def test_a_chain_that_is_killed_in_a_training_goes_on_and_gives_every_figure(data: Path, tmp_path: Path) -> None:
    texts, out = tmp_path / "texts", tmp_path / "run"
    texts.mkdir()
    for number in range(8):
        said = " ".join(f"Terraces of soil {number} hold rain for crop {line}, and hedges slow the wind." for line in range(12))
        (texts / f"soil-{number}.md").write_text(f"# Soil {number}\n\n{said}\n")
    killed_at = killed(begun(data, texts, out, tmp_path / "first.log"), out)
    assert killed_at >= 2
    assert not (out / "4-decoder" / marked_steps.MARK).exists()
    second = begun(data, texts, out, tmp_path / "second.log")
    table, _ = second.communicate(timeout=600)
    log = (tmp_path / "second.log").read_text()
    assert second.returncode == 0, log
    assert "3-tokenizer: done before" in log
    assert "going on from checkpoint-" in log
    took = [json.loads((out / name / marked_steps.MARK).read_text())["seconds"] for name in STEPS]
    assert f"all steps {sum(took):,.1f} s" in log
    figures = json.loads((out / "4-decoder" / marked_steps.MARK).read_text())["figures"]
    assert figures["tokens_seen"] > figures["tokens_trained"] > 1000
    assert [path.parent.name for path in sorted(out.glob(f"*/{marked_steps.MARK}"))] == STEPS
    check_figures(json.loads((out / chain.FIGURES).read_text()), out)
    assert "| valid citation form |" in table
    assert "bits per byte" in table


def killed(process: subprocess.Popen[str], out: Path) -> int:
    """Kill a chain once its pretraining has a checkpoint; returns the last step that it had written."""
    losses, until = out / "4-decoder" / "run" / "losses.jsonl", time.monotonic() + 600
    while not (losses.is_file() and losses.read_text().count('"grad_norm"') >= 3):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return losses.read_text().count('"grad_norm"')


def check_figures(found: dict[str, Any], out: Path) -> None:
    """Every figure is there and is what it may be."""
    assert 0 < found["text"]["5-gram"] < 8  # bits of a byte
    assert 0 < found["text"]["decoder"] < 12
    answers = found["answers"]
    assert set(answers["loss"]) == {"base", "sft"}
    assert answers["loss"]["sft"] < answers["loss"]["base"]  # six steps teach something
    assert answers["asked"] == len((out / "8-figures" / "answers-sft.jsonl").read_text().splitlines())
    for shares in answers["shares"].values():
        assert all(0 <= part <= whole for part, whole in shares.values())
    assert set(answers["floors"]["sft"]) == {"assistant loss", "valid citation form", "unanswerable refused"}
    asked = [row for row in rows.read(out / "6-rows" / "test.jsonl") if row.messages]
    assert answers["rows"] == len(asked)


@needs_model
def test_lora_teaches_a_real_decoder(tmp_path: Path, one_thread: None) -> None:
    """Weights that somebody else trained: the held-out loss of a chat falls, and without the adapter nothing has changed."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from training import adapt, configuration

    base = tmp_path / "base"
    shutil.copytree(MODEL, base)
    base.chmod(0o755)
    (base / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    tiny_chat.save_data(tmp_path / "data")
    settings = {"rank": 8, "alpha": 16, "max_steps": 24, "save_steps": 12, "eval_strategy": "steps", "eval_steps": 12}
    path = tiny_chat.save_config(tmp_path / "c.yaml", base, tmp_path / "data", tmp_path / "run", **settings, max_length=384)
    folder = adapt.train(configuration.read(path, "sft"), lambda _: None)
    said = json.loads((tmp_path / "run" / "run.json").read_text())
    assert said["held_out_losses"][-1] < 0.6 * said["first_loss"]
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    ids = torch.tensor([[1, 403, 407, 261]])
    before = model(ids).logits
    adapted = PeftModel.from_pretrained(model, folder)
    assert not torch.equal(adapted(ids).logits, before)
    with adapted.disable_adapter():
        assert torch.equal(adapted(ids).logits, before)
