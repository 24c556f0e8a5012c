"""Long work in steps: each has a folder, and step.json is written into it last; with it a step is done, and never again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agri_llm.errors import BadInput
from training.rows import write_whole

if TYPE_CHECKING:
    from training.progress import Tell

MARK = "step.json"


def found_by(out: Path) -> dict[str, Any]:
    """Return what a finished step found."""
    found: dict[str, Any] = json.loads((out / MARK).read_text(encoding="utf-8"))["figures"]
    return found


def do(name: str, work: Callable[[Path], dict[str, Any]], out: Path, maker: str, tell: Tell) -> tuple[dict[str, Any], float]:
    """Do one step, or read what it found, and in how many seconds; its mark is written last.

    Raises BadInput where other settings made it.
    """
    mark = out / MARK
    if mark.is_file():
        said = json.loads(mark.read_text(encoding="utf-8"))
        if said["made_by"] != maker:
            raise BadInput(
                f"{out} was made with other settings",
                "steps would not fit together",
                "delete it and what follows, or choose another --out",
            )
        found: dict[str, Any] = said["figures"]
        tell(f"{name}: done before in {said['seconds']:,.1f} s; {_line(found)}")
        return found, said["seconds"]
    out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    found = work(out)
    seconds = round(time.monotonic() - begun, 1)
    write_whole(mark, json.dumps({"made_by": maker, "seconds": seconds, "figures": found}, indent=1) + "\n")
    tell(f"{name}: {seconds:,.1f} s; {_line(found)}")
    return found, seconds


def _line(found: dict[str, Any]) -> str:
    """Return figures on one line, short."""
    said = json.dumps(found, ensure_ascii=False).replace('"', "")
    return said if len(said) < 600 else f"{said[:600]}…"
