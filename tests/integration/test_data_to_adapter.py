"""From sheets to a finished run with the commands that a user types: `agri data build`, `agri train plan`, `agri train sft`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_chat
import yaml
from click.testing import Result
from some_sheets import copied
from typer.testing import CliRunner

from agri_llm.errors import BadInput
from agri_llm.prompts import PROMPT_HASH
from knowledge_base import shipped
from training import configuration, preflight, rows
from ui.cli import app

pytestmark = pytest.mark.usefixtures("one_thread")
SMOKE = Path(configuration.__file__).parent / "configs" / "smoke-sft.yaml"
SHEETS = ("potato-late-blight", "rice-blast", "zinc-deficiency", "potato-growing", "maize-fall-armyworm")


def agri(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two data sets of the same sheets: `data`, compared with the shipped suites, and `bare`, compared with nothing."""
    folder = tmp_path_factory.mktemp("chain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipped, "CORPUS", copied(folder / "corpus", SHEETS))
        for name, evaluation in (("data", ["shipped"]), ("bare", [])):
            said = {
                "languages": ["en"], "validation": 0.25, "test": 0.25, "evaluation": evaluation, "leave_out_overlaps": True,
                "sources": [{"name": "sheets", "sort": "sheets", "pretraining": name == "data"}],
            }  # fmt: skip
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
            built = agri("data", "build", folder / f"{name}.yaml", "--out", folder / name)
            assert built.exit_code == 0, built.output
    return folder


@pytest.fixture(scope="module")
def flags(folder: Path) -> list[str]:
    """A tiny model whose tokenizer has read the sheets, and settings for a few steps on real rows."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((folder / "corpus" / "en").glob("*.md"))]
    model = tiny_chat.save_model(folder / "model", texts=texts, vocabulary=1500)
    short = {"max_length": 1024, "packing": "false", "most_lost": 0.95, "max_steps": 4, "eval_steps": 2, "save_steps": 2}
    return ["--model", str(model), *(str(each) for name, value in short.items() for each in (f"--{name}", value))]


@pytest.fixture(scope="module")
def run(folder: Path, flags: list[str]) -> tuple[Path, Result]:
    out = folder / "run"
    return out, agri("train", "sft", SMOKE, *flags, "--data", folder / "data", "--out", out)


def test_what_the_build_wrote_is_learned_from(folder: Path, run: tuple[Path, Result]) -> None:
    out, said = run
    assert said.exit_code == 0, said.output
    assert "data: unchanged since it was built, compared with the evaluation files" in said.stderr
    assert "template: as when answering" in said.stderr
    about = json.loads((out / "run.json").read_text(encoding="utf-8"))
    built = json.loads((folder / "data" / rows.MANIFEST).read_text(encoding="utf-8"))
    assert built["contamination_checked"] is True
    assert about["data"]["train.jsonl"] == built["files"]["train.jsonl"]
    assert about["prompt_hash"] == built["prompt_hash"] == PROMPT_HASH
    kinds = [row.kind for row in rows.read(folder / "data" / "train.jsonl")]
    texts = sum(kind == "pretraining" for kind in kinds)
    rejected = sum(name in about["rejected"] for name in (row.id for row in rows.read(folder / "data" / "train.jsonl")))
    assert about["rows"]["train"] == len(kinds) - texts - rejected > 2
    assert texts > 0


def test_the_run_is_finished_with_its_last_file(run: tuple[Path, Result]) -> None:
    out, _ = run
    last = (out / "run.json").stat().st_mtime_ns
    others = [path for path in out.rglob("*") if path.is_file() and path.name != "run.json"]
    assert {"config.yaml", "contract.json", "adapter_model.safetensors", "losses.jsonl"} <= {path.name for path in others}
    assert all(path.stat().st_mtime_ns <= last for path in others)


def test_a_plan_takes_the_speed_of_a_finished_run(folder: Path, flags: list[str], run: tuple[Path, Result]) -> None:
    out, _ = run
    speed = json.loads((out / "run.json").read_text(encoding="utf-8"))["tokens_per_second"]
    said = agri("train", "plan", SMOKE, *flags, "--data", folder / "data", "--measured", out, "--json")
    assert said.exit_code == 0, said.output
    plan = json.loads(said.stdout)
    assert plan["hours"] == pytest.approx(plan["tokens"] / speed / 3600)
    assert plan["steps"] == 4


def test_data_that_was_compared_with_nothing_is_refused_unless_that_is_said(folder: Path, flags: list[str]) -> None:
    refused = agri("train", "sft", SMOKE, *flags, "--data", folder / "bare", "--out", folder / "refused")
    assert isinstance(refused.exception, BadInput)
    assert "was not compared with the evaluation files" in str(refused.exception)
    assert not (folder / "refused" / "run.json").exists()
    assert "with no evaluation file, as unchecked_data allows" in preflight.check_manifest(folder / "bare", unchecked=True)
