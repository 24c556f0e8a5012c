"""Starting and stopping a retraining as a process of its own, which goes on when the page or the browser is closed.

The process inherits a locked file. The operating system holds that lock for exactly as long as the process lives, so two
people who press the button at once start one, and nobody meets the number of a process that is another one by now.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from agri_llm.errors import BadInput
from agri_llm.records import now
from training import one_run
from training.one_run import Holder
from ui.runs import SAID

STARTED = "started.json"
_ROOT = Path(__file__).resolve().parents[1]
# `agri`, which hears Ctrl-C: a server that a shell started in the background is deaf to it, and so is all that it starts.
_AGRI = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from ui.cli import main; main()"
_children: list[subprocess.Popen[bytes]] = []


def holder(folder: Path) -> Holder | None:
    """Return who retrains in a folder of retrainings: who asked on the page, else whose process works."""
    for each in list(_children):
        if each.poll() is not None:  # else they stay in the list of processes
            _children.remove(each)
    return _started(folder) or one_run.holder(folder)


def _started(folder: Path) -> Holder | None:
    try:
        with (folder / STARTED).open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            return Holder(**json.loads((folder / STARTED).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
    except OSError:
        return None
    return None


def start(run: Path, method: str, by: str, config: Path | None = None) -> None:
    """Start a retraining in a folder, or let the one in it go on. Raises BadInput where one runs already.

    `by` is who asked; what the process prints goes to a file in the folder.
    """
    command = [sys.executable, "-P", "-c", _AGRI, "retrain", "--method", method, "--out", str(run)]
    command += ["--config", str(config)] if config else []
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    other = holder(run.parent)
    if other is not None:
        raise _runs(other)
    run.mkdir(parents=True, exist_ok=True)
    with (run.parent / STARTED).open("a+", encoding="utf-8") as lock, (run / SAID).open("ab") as said:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _runs(_started(run.parent)) from error
        lock.truncate(0)
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            pass_fds=(lock.fileno(),),
        )
        _children.append(process)
        since = now().isoformat(timespec="seconds")
        about = Holder(person=by, machine=platform.node(), process=process.pid, since=since, folder=str(run))
        lock.write(json.dumps(asdict(about)) + "\n")


def _runs(other: Holder | None) -> BadInput:
    return BadInput(
        f"a retraining is running ({other.described() if other else 'begun a moment ago'})",
        "two at once would decide about each other's model",
        "wait for it, or stop it",
    )


def stop(folder: Path) -> None:
    """Ask the process that retrains in a folder to end after its present step. Raises BadInput where it is none of ours."""
    found = holder(folder)
    if found is None:
        raise BadInput("no retraining runs", "it ended in the meantime", "look at what it said")
    if found.machine != platform.node():
        raise BadInput(
            f"the retraining runs on {found.machine}, and this is {platform.node()}",
            "a process can be stopped only where it runs",
            "stop it there",
        )
    if not _is_ours(found.process):
        raise BadInput(
            f"process {found.process} is no retraining of this user", "it is not ours to stop", "ask who runs this machine"
        )
    os.kill(found.process, signal.SIGINT)


def _is_ours(process: int) -> bool:
    """Whether a process retrains and belongs to the user of this server."""
    place = Path("/proc") / str(process)
    try:
        return place.stat().st_uid == os.getuid() and b"retrain" in (place / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
