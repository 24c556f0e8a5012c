"""`agri promote`, as a person types it: what was judged against another adapter, was changed, is gone, or has a name twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import typer
import yaml
from click.testing import Result
from typer.testing import CliRunner

from agri_llm.errors import BadInput
from training import retrain_config
from training.rows import file_hash
from ui import wiring
from ui.commands import retraining

GOOD = {"promote": True, "reasons": [], "notes": [], "guards": []}
app = typer.Typer()
app.command()(retraining.promote)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    said = {"HOME": tmp_path, "WRITER": "local", "MODEL": "tiny", "DATABASE_URL": f"sqlite:///{tmp_path}/agri.sqlite"}
    for name, value in said.items():
        monkeypatch.setenv(f"AGRI_{name}", str(value))
    monkeypatch.setenv("AGRI_ADAPTER", "")
    for part in (wiring.settings, wiring.store):
        part.cache_clear()
    yield
    for part in (wiring.settings, wiring.store):
        part.cache_clear()


def run_of(out: Path, current: Path | None = None) -> Path:
    """The folder of a candidate that the gate let in, in a retraining that began with `current` in use."""
    run = out / retrain_config.TRAIN / out.name
    (run / "adapter").mkdir(parents=True)
    weights = run / "adapter" / "adapter_model.safetensors"
    weights.write_text(f"weights of {out}", encoding="utf-8")
    (run / "run.json").write_text("{}", encoding="utf-8")
    (run / "verdict.json").write_text(json.dumps(GOOD), encoding="utf-8")
    (out / retrain_config.CHOICE).write_text(yaml.safe_dump({"current": str(current) if current else None}), encoding="utf-8")
    (out / retrain_config.GATE).mkdir()
    mark = {"made_by": "", "seconds": 1.0, "figures": {"sha256": file_hash(weights)}}
    (out / retrain_config.GATE / "step.json").write_text(json.dumps(mark), encoding="utf-8")
    return run


def agri(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def in_use() -> str | None:
    current = wiring.store().promotions.current()
    return current.adapter if current is not None else None


def test_a_run_that_was_judged_against_another_adapter_than_the_one_in_use_is_not_promoted(tmp_path: Path) -> None:
    one, other = run_of(tmp_path / "one"), run_of(tmp_path / "other")
    assert agri(str(one)).exit_code == 0
    refused = agri(str(other)).exception
    assert isinstance(refused, BadInput)
    assert "is in use by now" in str(refused)
    assert in_use() == str(one / "adapter")
    assert agri(str(run_of(tmp_path / "third", current=one))).exit_code == 0


def test_of_two_runs_judged_against_the_same_adapter_and_promoted_at_once_one_wins(tmp_path: Path) -> None:
    runs = [run_of(tmp_path / f"run-{at}") for at in range(6)]
    wiring.store().migrate()

    def promoted(run: Path) -> bool:
        try:
            retraining.promoted(run, "somebody")
        except BadInput:
            return False
        return True

    with ThreadPoolExecutor(6) as people:
        assert sum(people.map(promoted, runs)) == 1
    assert len(wiring.store().promotions.history()) == 1


def test_a_run_that_was_given_up_is_not_said_to_write_the_answers_when_it_is_promoted_again(tmp_path: Path) -> None:
    run = run_of(tmp_path / "one")
    assert agri(str(run)).exit_code == 0
    assert agri("base", "--reason", "farmers complained").exit_code == 0
    with pytest.raises(BadInput, match="was promoted before and is not in use"):
        retraining.promoted(run, "agri retrain")
    assert in_use() is None
    assert agri(str(run)).stdout == f"Gone back: {run / 'adapter'} writes the answers from now on.\n"


def test_weights_that_were_changed_after_the_verdict_are_not_promoted(tmp_path: Path) -> None:
    run = run_of(tmp_path / "one")
    (run / "adapter" / "adapter_model.safetensors").write_text("others", encoding="utf-8")
    refused = agri(str(run)).exception
    assert isinstance(refused, BadInput)
    assert "not the adapter that the gate judged" in str(refused)
    assert in_use() is None


def test_nobody_goes_back_to_an_adapter_whose_files_are_gone(tmp_path: Path) -> None:
    one = run_of(tmp_path / "one")
    assert agri(str(one)).exit_code == 0
    assert agri(str(run_of(tmp_path / "two", current=one))).exit_code == 0
    (one / "adapter" / "adapter_model.safetensors").unlink()
    refused = agri("one").exception
    assert isinstance(refused, BadInput)
    assert "is not there any more" in str(refused)
    assert in_use() == str(tmp_path / "two" / retrain_config.TRAIN / "two" / "adapter")


def test_another_run_with_the_name_of_an_earlier_one_is_promoted_and_the_earlier_one_is_not_gone_back_to(
    tmp_path: Path,
) -> None:
    first = run_of(tmp_path / "a" / "night")
    assert agri(str(first)).exit_code == 0
    between = run_of(tmp_path / "between", current=first)
    assert agri(str(between)).exit_code == 0
    second = run_of(tmp_path / "b" / "night", current=between)
    assert agri(str(second)).stdout == f"Promoted: {second / 'adapter'} writes the answers from now on.\n"
    assert in_use() == str(second / "adapter")
