"""The lock of retrainings, with real processes that hold it, end, and are killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agri_llm.errors import BadInput
from training import one_run

HOLD = """
import sys
from pathlib import Path
from training import one_run
with one_run.alone(Path(sys.argv[1]), Path(sys.argv[2]), lambda line: None):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    """A process that holds the lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(folder / "a-run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_retraining_is_told_who_runs_the_first_and_where(tmp_path: Path) -> None:
    process = hold(tmp_path)
    with (
        pytest.raises(BadInput, match=rf"a retraining is running \(.+ process {process.pid}, since .+ in {tmp_path}/a-run\)"),
        one_run.alone(tmp_path, tmp_path / "b-run", pytest.fail),
    ):
        pytest.fail("the lock was given twice")
    holder = one_run.holder(tmp_path)
    assert holder is not None
    assert holder.process == process.pid
    process.communicate("")
    assert one_run.holder(tmp_path) is None


def test_a_lock_that_a_killed_process_left_is_explained_and_taken_over(tmp_path: Path) -> None:
    process = hold(tmp_path)
    process.kill()
    process.wait()
    assert one_run.holder(tmp_path) is None
    told: list[str] = []
    with one_run.alone(tmp_path, tmp_path / "b-run", told.append):
        mine = one_run.holder(tmp_path)
        assert mine is not None
        assert mine.process == os.getpid()
    assert len(told) == 1
    assert f"process {process.pid}" in told[0]
    assert "stale" in told[0]


def test_a_lock_that_was_given_back_is_taken_without_a_word(tmp_path: Path) -> None:
    for _ in range(2):
        with one_run.alone(tmp_path, tmp_path / "a-run", pytest.fail):
            assert one_run.holder(tmp_path) is not None
    assert one_run.holder(tmp_path) is None


def test_a_damaged_lock_file_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / one_run.LOCK).write_text("{half", encoding="utf-8")
    with one_run.alone(tmp_path, tmp_path / "a-run", pytest.fail):
        assert one_run.holder(tmp_path) is not None
