"""Retrainings as their folders tell of them: which step, which figures, which verdict; nothing here loads what trains.

A folder may be of a process that is writing at this moment, or was copied by hand: what cannot be read is said, never raised.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml

from agri_llm.errors import BadInput
from training import preferences, retrain_config
from training.gate import VERDICT
from training.marked_steps import MARK
from training.retrain_config import STEPS
from training.rows import file_hash
from training.run_files import LOSSES, RUN

State = Literal["running", "unfinished", "passed", "kept_out", "damaged"]
SAID = "said.txt"  # what the process printed, where the page started it
CURVES = {  # what to draw: the figures of the training and of the held-out rows
    "loss": ("loss", "eval_loss"),
    "accuracy": ("rewards/accuracies", "eval_rewards/accuracies"),
    "margin": ("rewards/margins", "eval_rewards/margins"),
    "reward": ("reward", "eval_reward"),
    "kl": ("kl", "eval_kl"),
}
_OF = re.compile(r"\b(?:step )?(\d+) of (\d+)(?: questions answered|, loss)")
_TAIL = 64 * 1024  # bytes at the end of a log that are read


@dataclass(frozen=True, kw_only=True)
class Run:
    """A retraining: its folder, method, state, steps that are done, the gate's verdict, and what is damaged in it."""

    folder: Path
    method: str
    state: State
    done: tuple[str, ...]
    begun_at: datetime
    current: str | None = None
    verdict: Mapping[str, Any] | None = None
    problem: str = ""

    @property
    def name(self) -> str:
        """The name of the folder, by which its adapter is known too."""
        return self.folder.name

    @property
    def candidate(self) -> Path:
        """The folder of its training."""
        return self.folder / retrain_config.TRAIN / self.name

    @property
    def adapter(self) -> str:
        """The adapter as decisions name it."""
        return str(self.candidate / "adapter")

    @property
    def step(self) -> str | None:
        """The step that comes next, or is being done; None after the last."""
        return next((step for step in STEPS if step not in self.done), None)


def find(folder: Path, running: Path | None = None) -> list[Run]:
    """Return the retrainings in a folder, the newest first; `running` is the one that is being worked on."""
    if not folder.is_dir():
        return []
    found = [read(each, running) for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")]
    return sorted(found, key=lambda run: (run.begun_at, run.name), reverse=True)


def read(folder: Path, running: Path | None = None) -> Run:
    """Return the retraining in a folder; one that cannot be read is of state "damaged", with the reason."""
    done = tuple(step for step in STEPS if (folder / step / MARK).is_file())
    method, begun = folder.name.rpartition("-")[2], _time(folder)
    try:
        choice, verdict = _choice(folder), _verdict(folder) if STEPS[-1] in done else None
    except BadInput as error:
        return Run(folder=folder, method=method, state="damaged", done=done, begun_at=begun, problem=str(error))
    state: State = "unfinished"
    if running is not None and folder.absolute() == running.absolute():
        state = "running"
    elif verdict is not None:
        state = "passed" if verdict["promote"] else "kept_out"
    return Run(
        folder=folder,
        method=str(choice.get("method", method)),
        state=state,
        done=done,
        begun_at=begun,
        current=choice.get("current"),
        verdict=verdict,
    )


def _time(folder: Path) -> datetime:
    file = folder / retrain_config.CHOICE
    return datetime.fromtimestamp((file if file.is_file() else folder).stat().st_mtime, UTC)


def _choice(folder: Path) -> Mapping[str, Any]:
    """What the retraining was begun with; empty where the process ended before it wrote that down. Raises BadInput."""
    file = folder / retrain_config.CHOICE
    if not file.exists():
        return {}
    try:
        said = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _damaged(file) from error
    if not isinstance(said, dict):
        raise _damaged(file)
    return said


def _verdict(folder: Path) -> Mapping[str, Any]:
    file = folder / retrain_config.TRAIN / folder.name / VERDICT
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        _ = bool(said["promote"]), list(said["reasons"]), list(said["notes"]), list(said["guards"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(file) from error
    return dict(said)


def _damaged(file: Path) -> BadInput:
    return BadInput(f"{file} is missing or damaged", "nothing in this folder can be trusted", "delete it, or copy it again")


def figures(run: Run) -> list[Mapping[str, Any]]:
    """Return what the training logged, a mapping for each line with its step; a line that is being written is left out."""
    try:
        lines = (run.candidate / LOSSES).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    found: list[Mapping[str, Any]] = []
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and isinstance(said.get("step"), int):
            found.append(said)
    return found


def curve(said: list[Mapping[str, Any]], name: str) -> dict[int, tuple[float | None, float | None]]:
    """Return by step the figure of the training and that of the held-out rows, None where one was not taken."""
    points: dict[int, tuple[float | None, float | None]] = {}
    for each in said:
        values = tuple(_number(each.get(key)) for key in CURVES[name])
        before = points.get(each["step"], (None, None))
        if values != (None, None):
            points[each["step"]] = (
                values[0] if values[0] is not None else before[0],
                values[1] if values[1] is not None else before[1],
            )
    return dict(sorted(points.items()))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def progress(run: Run) -> tuple[int, int] | None:
    """Return how far a step is that takes long, (done, of how many), by its last line that says so; None where none does."""
    if run.step is None or not run.step.startswith((retrain_config.TRAIN, retrain_config.ANSWERS)):
        return None
    of = [(int(line[1]), int(line[2])) for line in _OF.finditer(_since(run))]
    if not of:
        return None
    done, most = of[-1]
    if run.step == retrain_config.TRAIN:
        said = figures(run)
        done = max(done, int(said[-1]["step"])) if said else done
    return min(done, most), most


def _since(run: Run) -> str:
    """The log after the last step that was done."""
    text = _end_of(run.folder / retrain_config.LOG)
    at = max((text.rfind(f"{step}: ") for step in run.done), default=-1)
    return text[at + 1 :]


def log(run: Run, lines: int = 12) -> list[str]:
    """Return the last lines that the retraining told: those of the process where the page started it, else of its log."""
    text = _end_of(run.folder / SAID) or _end_of(run.folder / retrain_config.LOG)
    return [line for line in text.splitlines() if line.strip()][-lines:]


def _end_of(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - _TAIL))
            return opened.read().decode("utf-8", "replace")
    except OSError:
        return ""


def card(run: Run) -> str:
    """Return the card of the data it learned from; empty where there is none."""
    return _end_of(run.folder / retrain_config.DATA / "data" / preferences.CARD)


def changed(run: Run) -> list[str]:
    """Say what is not as it was when the gate decided: the adapter's weights, the data, or the record of the training."""
    try:
        mark = json.loads((run.folder / STEPS[-1] / MARK).read_text(encoding="utf-8"))
        about = json.loads((run.candidate / RUN).read_text(encoding="utf-8"))
        weights = file_hash(Path(run.adapter) / "adapter_model.safetensors")
        learned, judged = about["data"]["hash"], mark["figures"].get("sha256")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return [f"{run.candidate} cannot be read ({type(error).__name__})"]
    found = [] if judged in (None, weights) else [f"{run.adapter} is not the adapter that the gate judged"]
    try:
        data = preferences.read(run.folder / retrain_config.DATA / "data")
    except BadInput as error:
        return [*found, str(error)]
    return found if data.hash == learned else [*found, f"{data.folder} is not the data it learned from"]
