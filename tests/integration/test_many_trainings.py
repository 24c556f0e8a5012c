"""Trainings that are killed, stopped, cut into smaller batches, or shared by two processes, against the one without a break."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(900)  # about a minute of processor time, and much more where others use it too
PROGRAM = Path(__file__).with_name("many_trainings.py")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("trainings")
    run = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder)],
        capture_output=True,
        text=True,
        timeout=840,
        check=False,
        cwd=PROGRAM.parents[2],
    )
    assert run.returncode == 0, run.stderr[-3000:]
    results: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return {**results, "stderr": run.stderr}


def test_a_training_killed_at_three_random_moments_ends_as_the_one_without_a_break(found: dict[str, Any]) -> None:
    killed = found["killed"]
    assert [status for _, status, _ in killed["moments"]] == [-9, -9, -9]
    assert not any(finished for _, _, finished in killed["moments"])
    assert len(killed["whole"]["curve"]) == 12
    assert killed["whole"]["tokens"][0] > killed["whole"]["tokens"][1] > 0
    assert killed["resumed"] == killed["whole"], "curve, weights and counts of tokens"


def test_ctrl_c_leaves_a_checkpoint_from_which_the_same_command_goes_on(found: dict[str, Any]) -> None:
    stopped = found["stopped"]
    assert stopped["status"] == 3
    assert len(stopped["kept"]) == 1
    assert stopped["resumed"] == stopped["whole"]
    assert "was stopped at step" in found["stderr"]
    assert "the same command goes on from there" in found["stderr"]


def test_batches_of_8_and_2_times_4_and_8_times_1_learn_the_same(found: dict[str, Any]) -> None:
    whole, halves, ones = found["accumulated"]
    assert len(whole["curve"]) == 3
    for other in (halves, ones):
        assert other["tokens"] == whole["tokens"]
        for expected, got in zip(whole["curve"], other["curve"], strict=True):
            assert got == pytest.approx(expected, rel=1e-4)


def test_two_processes_learn_what_one_does(found: dict[str, Any]) -> None:
    runs = found["distributed"]
    assert runs["statuses"] == [0, 0]
    assert runs["both"]["processes"] == 2
    assert runs["both"]["tokens"] == runs["alone"]["tokens"]
    assert len(runs["alone"]["curve"]) == 4
    for expected, got in zip(runs["alone"]["curve"], runs["both"]["curve"], strict=True):
        assert got == pytest.approx(expected, rel=1e-3)


def test_weights_spread_over_two_processes_learn_what_whole_ones_do(found: dict[str, Any]) -> None:
    runs = found["sharded"]
    assert runs["statuses"] == [0, 0, 0]
    assert (runs["one"]["sharded"], runs["two"]["sharded"]) == (0, runs["two"]["all"])
    assert runs["one"]["losses"][-1] < runs["one"]["losses"][0]
    assert runs["two"]["losses"] == pytest.approx(runs["one"]["losses"], rel=1e-4)


def test_a_launcher_that_asks_for_shards_and_gets_none_is_refused(found: dict[str, Any]) -> None:
    assert found["ignored_launcher"] == [3, 3]
    assert "the launcher asks for FSDP and the run would be" in found["stderr"]
