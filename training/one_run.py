"""One retraining at a time: a lock that says who holds it since when, and that nobody has to clean up.

The operating system holds the lock for as long as the process lives, so one that was killed leaves a file but no lock. On a
network drive whose locks are not shared between machines two machines would not see each other.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from agri_llm.errors import BadInput
from agri_llm.records import now

LOCK = "lock.json"
LOOKS = 5  # whoever asks who holds it has it for less than a millisecond


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who runs a retraining: a person on a machine, in a process, since when, in which folder."""

    person: str
    machine: str
    process: int
    since: str
    folder: str

    def described(self) -> str:
        """Return the holder in words."""
        begun = datetime.fromisoformat(self.since).strftime("%Y-%m-%d %H:%M UTC")
        return f"{self.person} on {self.machine}, process {self.process}, since {begun}, in {self.folder}"


@contextmanager
def alone(folder: Path, run: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a folder of runs while `run` is worked on; a lock that a killed process left is explained and taken.

    Raises BadInput where another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+", encoding="utf-8") as file:
        _take(file, folder)
        before = _read(folder)
        if before is not None:
            tell(f"The lock of {before.described()} is stale: that process ended without giving it back. It is taken over.")
        file.truncate(0)
        file.write(json.dumps(asdict(_me(run))) + "\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def holder(folder: Path) -> Holder | None:
    """Return who holds the lock of a folder now; None where nobody does, whatever the file says."""
    try:
        with (folder / LOCK).open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(folder)
    except OSError:
        return None
    return None


def _take(file: IO[str], folder: Path) -> None:
    """Take the lock, also where somebody looks for a moment who holds it. Raises BadInput."""
    for attempt in range(LOOKS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05 if attempt < LOOKS - 1 else 0)
        else:
            return
    other = _read(folder)
    raise BadInput(
        f"a retraining is running ({other.described() if other else 'begun a moment ago'})",
        "two at once would decide about each other's model",
        "wait for it, or stop it and give its command again to go on",
    )


def _me(run: Path) -> Holder:
    return Holder(
        person=getpass.getuser(),
        machine=platform.node(),
        process=os.getpid(),
        since=now().isoformat(timespec="seconds"),
        folder=str(run),
    )


def _read(folder: Path) -> Holder | None:
    try:
        return Holder(**json.loads((folder / LOCK).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
