"""The folder of a run: settings first, checkpoints while it runs, `run.json` last; without it a run is not finished."""

from __future__ import annotations

import errno
import json
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from agri_llm.errors import BadInput
from training.rows import write_whole

RUN, CONFIG, LOSSES, STEPS = "run.json", "config.yaml", "losses.jsonl", "steps"
# Of a checkpoint trainer_state.json is written last (transformers, Trainer._save_checkpoint); each of the others goes on.
NEEDED = ("trainer_state.json", "optimizer.pt", "scheduler.pt")
FREE_TO_CHANGE = ("report_to", "dataloader_num_workers", "save_total_limit", "out", "output_dir")
FULL = (errno.ENOSPC, errno.EDQUOT)  # what writing says where no space is left
PACKAGES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "accelerate", "datasets", "tokenizers")


def begin(out: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder of a run, or take up an unfinished one. Raises BadInput for a finished run or other settings.

    Before the first checkpoint settings may still change: nothing was learned with the earlier ones.
    """
    if (out / RUN).is_file():
        raise BadInput(f"the run in {out} is finished", "training it again would overwrite it", "choose another `out`")
    file = out / CONFIG
    if file.is_file() and last_step(out) is not None:
        before = yaml.safe_load(file.read_text(encoding="utf-8"))
        names = sorted({*before, *settings} - {*FREE_TO_CHANGE})
        changed = [name for name in names if before.get(name) != settings.get(name)]
        if changed:
            raise BadInput(
                f"the run in {out} was begun with {changed[0]}={before.get(changed[0])!r}, not {settings.get(changed[0])!r}",
                "going on with other settings would be neither of the two runs",
                "give the same settings, or choose another `out`",
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    write_whole(file, yaml.safe_dump(dict(settings), allow_unicode=True))


def written(checkpoint: Path) -> bool:
    """Whether a checkpoint was written to its end."""
    try:
        json.loads((checkpoint / NEEDED[0]).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def complete(checkpoint: Path) -> bool:
    """Whether a checkpoint holds all that going on identically needs, and was written to its end."""
    sharded = any(checkpoint.glob("optimizer_*")) or any(checkpoint.glob("global_step*"))  # FSDP, DeepSpeed
    states = all((checkpoint / name).is_file() for name in NEEDED[1:]) or sharded
    return written(checkpoint) and states and any(checkpoint.glob("rng_state*.pth"))


def last_step(out: Path, *, tidy: bool = True) -> Path | None:
    """Return the newest complete checkpoint of a run; `tidy` deletes those whose writing was killed."""
    return newest(out / STEPS, complete, tidy=tidy)


def newest(steps: Path, whole: Callable[[Path], bool], *, tidy: bool = True) -> Path | None:
    """Return the newest checkpoint of a folder that is whole; `tidy` deletes newer ones that are not."""
    found = {int(path.name.rpartition("-")[2]): path for path in steps.glob("checkpoint-*")}
    for number in sorted(found, reverse=True):
        if whole(found[number]):
            return found[number]
        if tidy:
            shutil.rmtree(found[number])
    return None


def finish(out: Path, about: Mapping[str, Any]) -> None:
    """Write run.json: from now on the run exists for others."""
    write_whole(out / RUN, json.dumps(dict(about), indent=1, ensure_ascii=False) + "\n")


def provenance() -> dict[str, Any]:
    """Return what the run was made with: versions of the packages, of Python, and the commit where this is a checkout."""
    versions = {name: metadata.version(name) for name in PACKAGES}
    return {"versions": {"python": platform.python_version(), **versions}, "commit": _commit()}


def _commit() -> str | None:
    try:
        said = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip() or None
