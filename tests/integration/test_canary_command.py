"""`agri canary`, as a person types it: what the gate lets in, what it keeps out, how it stands, how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from agri_llm.errors import BadInput
from agri_llm.judgements import Promotion
from agri_llm.records import Answer, Feedback, Question, new_id
from ui import wiring
from ui.commands import canary

GOOD = {"promote": True, "reasons": [], "win_rate": {"low": 0.55, "high": 0.7, "decisive": 200, "groups": 80}}
FEW = {"promote": False, "reasons": ["Few."], "win_rate": {"low": 0.45, "high": 0.7, "decisive": 40, "groups": 30}}
WORSE = {"promote": False, "reasons": ["Worse."], "win_rate": {"low": 0.2, "high": 0.4, "decisive": 40, "groups": 30}}


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


def run_of(folder: Path, verdict: dict[str, Any]) -> Path:
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "verdict.json").write_text(json.dumps(verdict), encoding="utf-8")
    return folder


def agri(*arguments: str) -> Result:
    return CliRunner().invoke(canary.app, arguments)


def test_a_canary_begins_stands_and_stops(tmp_path: Path) -> None:
    assert agri("status").stdout == "No canary runs.\n"
    run = run_of(tmp_path / "new", GOOD)
    said = agri("begin", str(run), "--share", "0.2").stdout
    assert said == "Begun: new answers 20% of the conversations; `agri canary status` tells how it does.\n"
    begun = wiring.store().promotions.canary()
    assert begun is not None
    assert (begun.adapter, begun.share, begun.run) == (str(run / "adapter"), 0.2, "new")
    for rating in ("down", "up"):
        question = Question(text="What helps against rust?", conversation=new_id())
        answer = Answer(question=question, kind="advice", text="Ask.", adapter="new", model="tiny")
        wiring.store().save_turn(owner="ann", conversation_id=None, answer=answer)
        wiring.store().save_feedback("ann", Feedback(answer_id=answer.id, rating=rating, author="ann"))  # type: ignore[arg-type]
    said = agri("status").stdout
    assert "new answers 20% of the conversations since" in said
    assert "No harm shown so far, 2 conversations with a vote, 2 of new: 1 of the 1 harmed" in said
    assert agri("stop", "--reason", "enough seen").stdout == "Stopped: new answers no conversation any more.\n"
    assert wiring.store().promotions.history()[0].reasons == ("enough seen",)
    assert agri("stop").stdout == "No canary runs.\n"


def test_what_the_gate_keeps_out_is_not_tried_except_where_only_comparisons_are_few(tmp_path: Path) -> None:
    worse, few = run_of(tmp_path / "worse", WORSE), run_of(tmp_path / "few", FEW)
    for arguments, said in (
        ((str(worse),), "train again"),
        ((str(worse), "--despite-few"), "train again"),
        ((str(few),), "--despite-few"),
    ):
        refused = agri("begin", *arguments).exception
        assert isinstance(refused, BadInput)
        assert said in str(refused)
    assert agri("status").stdout == "No canary runs.\n"
    assert agri("begin", str(few), "--despite-few").exit_code == 0
    begun = wiring.store().promotions.canary()
    assert begun is not None
    assert begun.reasons == ("Few.",)


def test_a_canary_that_nobody_would_follow_or_could_tell_apart_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path / "new", GOOD)
    assert isinstance(agri("begin", str(run), "--share", "0.9").exception, BadInput)
    wiring.store().promotions.promote(Promotion(kind="promoted", adapter="/elsewhere/new/adapter", by="test"))
    assert "could not be told apart" in str(agri("begin", str(run)).exception)
    for name, value in (("AGRI_ADAPTER", "/runs/a"), ("AGRI_WRITER", "composer")):
        monkeypatch.setenv(name, value)
        wiring.settings.cache_clear()
        assert f"{name} is {value}" in str(agri("begin", str(run)).exception)
    assert wiring.store().promotions.canary() is None
