"""The training page on folders of retrainings made by hand, without a browser; the browser test retrains for real."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from streamlit.testing.v1 import AppTest
from test_page import Script, script, shown
from test_preferences import FIRST, answer, compared, reviewed
from test_sign_in_page import amina, colleague, of, quick_hashes

from agri_llm.errors import BadInput
from agri_llm.judgements import Account, Material, Promotion
from training import one_run, preferences, rows
from training.one_run import Holder
from training.pair_cleaning import Rules
from training.retrain_config import STEPS
from ui import retraining_process, runs, training_data, training_decisions, wiring
from ui.commands.retraining import in_force

__all__ = ["amina", "quick_hashes", "script"]
PAGE = "ui.training_page"
GOOD, BAD = answer("a1"), answer("a2", f"{FIRST}[1] {FIRST}[1]")
MATERIAL = Material(answers={"a1": GOOD, "a2": BAD}, comparisons=(compared(GOOD, BAD, "first"),), experts=("ann",))


@pytest.fixture
def local(script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An installation with a model on this machine; yields the folder of its retrainings."""
    monkeypatch.setenv("AGRI_WRITER", "local")
    monkeypatch.setenv("AGRI_MODEL", "a-base")
    wiring.settings.cache_clear()
    yield tmp_path / "retrainings"
    wiring.settings.cache_clear()


def verdict(*, promote: bool) -> dict[str, Any]:
    guard = {
        "suite": "safety", "measure": "passed", "language": "all", "cases": 40, "margin": 0.0, "difference": 0.025,
        "low": -0.01, "high": 0.06,
    }  # fmt: skip
    return {
        "promote": promote,
        "reasons": [] if promote else ["It is worse: win rate 41.0%, 35.0% to 47.0% at equal length."],
        "notes": ["Judged by: experts."],
        "win_rate": {"value": 0.62 if promote else 0.41, "low": 0.55, "high": 0.69},
        "guards": [guard],
        "lost": [],
    }


def retraining(folder: Path, name: str, done: int = len(STEPS), *, promote: bool = True, current: str | None = None) -> Path:
    """A folder as `agri retrain` leaves it after so many steps, with real preference data."""
    run = folder / name
    run.mkdir(parents=True)
    (run / "retrain.yaml").write_text(yaml.safe_dump({"method": "dpo", "model": "a-base", "current": current, "settings": {}}))
    (run / "log.txt").write_text("1-data: 0.1 s; rows\nstep 2 of 8, loss 0.6000\n")
    for step in STEPS[:done]:
        (run / step).mkdir()
        (run / step / "step.json").write_text(json.dumps({"made_by": "x", "seconds": 1, "figures": {}}))
    candidate = run / "3-train" / name
    (candidate / "adapter").mkdir(parents=True)
    losses = [
        {"step": 1, "loss": 0.69, "rewards/margins": 0.0, "rewards/accuracies": 0.5},
        {"step": 2, "loss": 0.6, "rewards/margins": 0.1, "rewards/accuracies": 0.7},
        {"step": 2, "eval_loss": 0.65, "eval_rewards/margins": 0.05, "eval_rewards/accuracies": 0.6},
    ]
    (candidate / "losses.jsonl").write_text("".join(json.dumps(each) + "\n" for each in losses) + '{"step": 3, "lo')
    if done == len(STEPS):
        finish(run, promote=promote)
    return run


def finish(run: Path, *, promote: bool) -> None:
    data = preferences.build(MATERIAL, run / "1-data" / "data", Rules(evaluation=()))
    candidate = run / "3-train" / run.name
    (candidate / "adapter" / "adapter_model.safetensors").write_bytes(run.name.encode())
    (candidate / "run.json").write_text(json.dumps({"data": {"hash": data.hash}}))
    (candidate / "verdict.json").write_text(json.dumps(verdict(promote=promote)))
    sha256 = rows.file_hash(candidate / "adapter" / "adapter_model.safetensors")
    mark = {"made_by": "x", "seconds": 1, "figures": {"sha256": sha256}}
    (run / STEPS[-1] / "step.json").write_text(json.dumps(mark))


def opened(app: AppTest) -> str:
    """Everything on the page as one text, with what tables and menus hold."""
    tables = [each.value.to_string() for each in (*app.dataframe, *app.table)]
    said = [str(each.value) for each in (*app.success, *app.code)] + [str(each.label) for each in app.get("expander")]
    return "\n".join([shown(app), *tables, *said])


# Who may, and what stands in the way


def test_only_an_administrator_sees_and_does_anything(amina: Account, local: Path) -> None:
    colleague(amina)
    app = of(PAGE, "Boris")
    assert [each.message for each in app.exception]
    assert not app.title
    assert not app.button


def test_a_role_that_was_lost_meanwhile_starts_nothing(amina: Account, local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(retraining_process, "start", lambda *of: started.append(of))
    boris = colleague(amina, role="administrator")
    app = of(PAGE, "Boris")
    wiring.store().accounts.set_role(amina.id, boris.id, "agronomist")
    app.button(key="training-start").click().run()
    assert started == []


def test_without_a_model_on_this_machine_one_sentence_says_so(amina: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for variables, sentence in (({}, "AGRI_WRITER is composer"), ({"AGRI_WRITER": "local"}, "AGRI_MODEL names no model")):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        wiring.settings.cache_clear()
        app = of(PAGE)
        assert sentence in shown(app).replace("\\", "")
        assert app.button(key="training-start").disabled
        assert not app.exception


# The data


def test_what_people_said_is_counted_on_a_click_and_never_before(
    amina: Account, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def teachable() -> Material:
        asked.append(1)
        return MATERIAL

    monkeypatch.setattr(wiring.store(), "teachable", teachable)
    app = of(PAGE)
    assert asked == []
    app.button(key="training-look").click().run()
    app.run()
    assert asked == [1]
    assert {each.label: each.value for each in app.metric} == {
        "Votes": "0", "Outcomes": "0", "Reviews": "0", "Comparisons": "1", "Corrections": "0", "Signed": "0",
    }  # fmt: skip
    assert "Pairs (better, worse)" in opened(app)
    assert "Counted at" in opened(app)


def test_nobody_said_anything_is_one_sentence(amina: Account, local: Path) -> None:
    app = of(PAGE)
    app.button(key="training-look").click().run()
    assert "nobody whose answers may be used said anything yet" in shown(app).replace("\\", "")
    assert not app.exception


def test_a_correction_that_fails_the_check_goes_back_to_its_expert_by_name(
    amina: Account, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boris = colleague(amina)
    wrong = reviewed(GOOD, 2, by=boris.id, correction="Spray 9 kg per hectare of mancozeb.[1]")
    material = Material(answers=MATERIAL.answers, reviews=(wrong,), experts=(boris.id,))
    monkeypatch.setattr(wiring.store(), "teachable", lambda: material)
    [(name, reason)] = training_data.look(amina).returned
    assert name == "Boris"
    assert reason


# The folders


def test_the_runs_stand_with_state_figures_and_reasons(amina: Account, local: Path) -> None:
    retraining(local, "1-dpo")
    retraining(local, "2-dpo", promote=False)
    retraining(local, "3-dpo", done=2)
    (local / "4-dpo").mkdir()
    retraining(local, "5-dpo")
    (local / "5-dpo" / "3-train" / "5-dpo" / "verdict.json").write_text("{")
    states = {run.name: run.state for run in runs.find(local)}
    assert states == {
        "1-dpo": "passed", "2-dpo": "kept_out", "3-dpo": "unfinished", "4-dpo": "unfinished", "5-dpo": "damaged",
    }  # fmt: skip
    app = of(PAGE)
    assert not app.exception
    for name, sentence in (
        ("1-dpo", "The gate lets it pass"),
        ("2-dpo", "It is worse: win rate 41.0%, 35.0% to 47.0%"),
        ("3-dpo", "2 of 6 steps are done"),
        ("4-dpo", "0 of 6 steps are done"),
        ("5-dpo", "verdict.json is missing or damaged"),
    ):
        app.selectbox(key="training-chosen").set_value(name).run()
        assert sentence in opened(app).replace("\\", ""), name
        assert not app.exception
    app.selectbox(key="training-chosen").set_value("1-dpo").run()
    app.selectbox(key="training-beside").set_value("2-dpo").run()
    assert "The gate lets it pass" in opened(app)
    assert "The gate keeps it out" in opened(app)
    assert "safety: passed" in opened(app)


def test_curves_keep_what_the_training_and_the_held_out_rows_say(tmp_path: Path) -> None:
    run = runs.read(retraining(tmp_path, "1-dpo", done=2))
    said = runs.figures(run)
    assert len(said) == 3  # the line that is being written is left out
    assert runs.curve(said, "loss") == {1: (0.69, None), 2: (0.6, 0.65)}
    assert runs.progress(run) == (2, 8)


def test_a_line_of_an_earlier_step_is_no_progress_of_this_one(tmp_path: Path) -> None:
    folder = retraining(tmp_path, "1-dpo", done=3)
    (folder / "log.txt").write_text("step 8 of 8, loss 0.1\n3-train: 5 s; steps: 8\n")
    assert runs.progress(runs.read(folder)) is None
    (folder / "log.txt").write_text("step 8 of 8, loss 0.1\n3-train: 5 s; steps: 8\n25 of 40 questions answered\n")
    assert runs.progress(runs.read(folder)) == (25, 40)


# Deciding


def test_a_run_that_passed_is_promoted_once_and_given_up_with_a_reason(amina: Account, local: Path) -> None:
    pytest.importorskip("trl")
    folder = retraining(local, "1-dpo")
    app = of(PAGE)
    app.button(key="training-promote").click().run()
    app.button(key="training-promote-yes").click().run()
    assert not app.exception
    current = wiring.store().promotions.current()
    assert current is not None
    assert (current.adapter, current.by) == (runs.read(folder).adapter, amina.id)
    app.run()
    assert "It was promoted before" in shown(app)
    assert "Amina" in opened(app)
    app.button(key="training-back").click().run()
    app.button(key="training-back-yes").click().run()
    assert wiring.store().promotions.current() == current
    app.button(key="training-back").click().run()
    app.text_input(key="training-back-why").set_value("It is rude.")
    app.button(key="training-back-yes").click().run()
    back = wiring.store().promotions.current()
    assert back is not None
    assert (back.kind, back.adapter, back.reasons, back.by) == ("rolled_back", None, ("It is rude.",), amina.id)


def test_a_decision_says_that_an_adapter_of_the_settings_goes_before_it(
    amina: Account, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_force("/runs/1/adapter") == "/runs/1/adapter writes the answers from now on."
    monkeypatch.setenv("AGRI_ADAPTER", "/runs/0/adapter")
    wiring.settings.cache_clear()
    assert in_force("/runs/0/adapter") == "/runs/0/adapter writes the answers from now on."
    for adapter, name in (("/runs/1/adapter", "/runs/1/adapter"), (None, "the base alone")):
        said = in_force(adapter)
        assert said.startswith(f"{name} writes the answers from now on where AGRI_ADAPTER is not set")
        assert "here it names /runs/0/adapter" in said


def test_what_changed_since_the_verdict_is_not_promoted(amina: Account, local: Path) -> None:
    weights = retraining(local, "1-dpo") / "3-train" / "1-dpo" / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(b"another")
    data = retraining(local, "2-dpo") / "1-data" / "data" / "card.md"
    data.write_text("another")
    kept_out = retraining(local, "3-dpo", promote=False)
    other = retraining(local, "4-dpo", current="/runs/older")
    for folder, sentence in (
        (weights.parents[3], "is not the adapter that the gate judged"),
        (data.parents[2], "is not as its manifest.json says"),
        (kept_out, "The gate keeps it out"),
        (other, "it was compared with older"),
    ):
        with pytest.raises(BadInput, match=sentence):
            training_decisions.promote(runs.read(folder), amina)
    assert wiring.store().promotions.history() == []


def test_nobody_goes_back_to_files_that_are_gone(amina: Account, local: Path) -> None:
    for name in ("1", "2"):
        wiring.store().promotions.promote(Promotion(kind="promoted", adapter=f"/gone/{name}/adapter", by="x"))
    assert training_decisions.earlier_than(wiring.store().promotions.history()) == ["/gone/1/adapter", ""]
    with pytest.raises(BadInput, match="is not there any more"):
        training_decisions.go_back("/gone/1/adapter", "why", amina)


# The process


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A program in the place of ours that waits for its end; the server is deaf to Ctrl-C. Yields the folder of retrainings."""
    (tmp_path / "ui").mkdir()
    (tmp_path / "ui" / "__init__.py").touch()
    program = "import sys, time\n\ndef main():\n    print(sys.argv, flush=True)\n    time.sleep(60)\n"
    (tmp_path / "ui" / "cli.py").write_text(program)
    monkeypatch.setattr(retraining_process, "_ROOT", tmp_path)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder = tmp_path / "retrainings"
    yield folder
    signal.signal(signal.SIGINT, before)
    for each in retraining_process._children:
        each.kill()
        each.wait()
    retraining_process._children.clear()


def test_one_is_started_it_is_seen_while_it_loads_and_ends_when_asked(waiting: Path) -> None:
    retraining_process.start(waiting / "1-dpo", "dpo", "Amina")
    found = retraining_process.holder(waiting)
    assert found is not None
    assert (found.person, found.machine, found.folder) == ("Amina", platform.node(), str(waiting / "1-dpo"))
    [process] = retraining_process._children
    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    with pytest.raises(BadInput, match="a retraining is running \\(Amina on "):
        retraining_process.start(waiting / "2-dpo", "dpo", "Boris")
    for _ in range(100):
        if (waiting / "1-dpo" / runs.SAID).read_text():
            break
        time.sleep(0.1)
    retraining_process.stop(waiting)
    assert process.wait(20) in (-signal.SIGINT, 1, 130)
    assert retraining_process.holder(waiting) is None
    assert "retrain" in (waiting / "1-dpo" / runs.SAID).read_text()
    with pytest.raises(BadInput, match="no retraining runs"):
        retraining_process.stop(waiting)


def test_a_process_of_another_machine_or_that_does_not_retrain_is_left_alone(tmp_path: Path) -> None:
    about = Holder(person="x", machine="elsewhere", process=os.getpid(), since="2026-01-01T00:00:00+00:00", folder="f")
    for found, sentence in (
        (about, "runs on elsewhere"),
        (Holder(**{**asdict(about), "machine": platform.node()}), "is no retraining of this user"),
    ):
        with (tmp_path / one_run.LOCK).open("w+") as lock:
            lock.write(json.dumps(asdict(found)))
            lock.flush()
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(BadInput, match=sentence):
                retraining_process.stop(tmp_path)


def test_a_run_that_broke_is_told_with_its_last_words(amina: Account, local: Path) -> None:
    folder = retraining(local, "1-dpo", done=1)
    (folder / runs.SAID).write_text("Settings: …\nthe disk is full: nothing could be written; free space.\n")
    app = of(PAGE)
    app.session_state["training-worked"] = str(folder)
    app.run()
    assert "the disk is full: nothing could be written" in shown(app).replace("\\", "")
    assert not app.button(key="training-go-on").disabled
