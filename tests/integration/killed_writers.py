"""Kills writers of an index folder at every step and at random moments, and looks at what a reader finds afterwards.

Run by test_folder.py as a program of its own: it has one thread and no model, so it may fork. Prints JSON.

    python killed_writers.py FOLDER VECTORS_FILE steps|halves|random|resume
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agri_llm.records import Passage
from knowledge_base import builder
from knowledge_base.embedding import Embedder
from knowledge_base.index import KnowledgeBase, load_view

KILLED = 99
STEPS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}
HALVES = ("vocabulary.json", "manifest.json.new", "CURRENT.new")


def passages(version: str) -> list[Passage]:
    texts = [f"This is the {version} text on rust.", "Wheat rust is orange.", f"Spray as the {version} label says."]
    return [Passage(id=f"rust#{row}", document_id="rust", title="Rust", text=text) for row, text in enumerate(texts)]


def blast() -> Passage:
    return Passage(id="blast#1", document_id="blast", title="Blast", text="Rice blast needs long dew.")


def known_vectors(file: Path) -> builder.Known:
    arrays = np.load(file, allow_pickle=False)
    keys = {name.rpartition("-")[0] for name in arrays.files}
    return {key: (arrays[f"{key}-windows"], arrays[f"{key}-sentences"]) for key in keys}


class Writers:
    """Starts writers of one folder in processes of their own, and reads the folder."""

    def __init__(self, folder: Path, known: builder.Known) -> None:
        self.folder, self.known = folder, known
        self.embedder = Embedder()
        self.embedder.__dict__["dimension"] = 384  # else asking for it would load the model

    def write(self, version: str) -> None:
        builder.build(self.folder, passages(version), self.embedder, known=self.known)

    def add(self) -> None:
        builder.add(self.folder, [blast()], self.embedder, known=self.known)

    def remove(self) -> None:
        builder.remove(self.folder, ["blast"], self.embedder)

    def read(self) -> str:
        """Open the index as a reader does: "old" or "new", with "+blast" or without, and an error for anything else."""
        found = sorted(load_view(self.folder, self.embedder).passages, key=lambda passage: passage.id)
        whole = {version: passages(version) for version in ("old", "new")}
        whole |= {f"{version}+blast": [blast(), *held] for version, held in whole.items()}
        return {str(held): version for version, held in whole.items()}[str(found)]

    def versions(self) -> int:
        return len(list(self.folder.glob("version-*")))

    def in_child(self, work: Callable[[], object]) -> int:
        """Run `work` in a child process and return the child's id."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                work()
                status = 0
            finally:
                os._exit(status)
        return child


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def dying_at(number: int, note: Callable[[str], object]) -> None:
    """From now on, this process ends right before its `number`-th step on files that are written."""
    steps = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal steps
        written = "version-" in str(arguments[0]) or "CURRENT" in str(arguments[0])
        if event not in STEPS or (event == "open" and not written):
            return
        steps += 1
        if steps == number:
            note(f"{event} {Path(str(arguments[0])).name}")
            os._exit(KILLED)

    sys.addaudithook(hook)


def kill_at_steps(writers: Writers) -> list[dict[str, object]]:
    deaths: list[dict[str, object]] = []
    while True:
        writers.write("old")
        reading, writing = os.pipe()

        def work(number: int = len(deaths) + 1, pipe: int = writing) -> None:
            dying_at(number, lambda name: os.write(pipe, name.encode()))
            writers.write("new")

        child = writers.in_child(work)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            step = pipe.read()
        status = ended(child)
        if status != KILLED:
            assert status == 0, status
            return deaths
        found, left = writers.read(), writers.versions()
        deaths.append({"step": step, "found": found, "versions": left})


def kill_in_halves(writers: Writers) -> list[dict[str, object]]:
    """Writers that die in the middle of a file: half of its text is there."""
    deaths: list[dict[str, object]] = []
    whole = Path.write_text
    for name in HALVES:
        writers.write("old")

        def work(name: str = name) -> None:
            def half(path: Path, text: str, **options: Any) -> int:
                if path.name != name:
                    return whole(path, text, **options)
                whole(path, text[: len(text) // 2], **options)
                os._exit(KILLED)

            Path.write_text = half  # type: ignore[assignment,method-assign]
            writers.write("new")

        assert ended(writers.in_child(work)) == KILLED
        deaths.append({"step": name, "found": writers.read(), "versions": writers.versions()})
    return deaths


def kill_at_random(writers: Writers, kills: int = 24) -> dict[str, Any]:
    """SIGKILL during endless building, adding and removing, while a reader opens the index again and again."""
    writers.write("old")
    base = KnowledgeBase(writers.folder, writers.embedder)
    after: list[str] = []
    during: Counter[str] = Counter()

    def change() -> None:
        while True:
            for version in ("new", "old"):
                writers.write(version)
                writers.add()
                writers.remove()

    for _ in range(kills):
        child = writers.in_child(change)
        until = time.monotonic() + random.uniform(0.02, 0.3)
        while time.monotonic() < until:
            during[writers.read()] += 1
            assert len(base.view.passages) in (3, 4)
        os.kill(child, signal.SIGKILL)
        assert ended(child) == -signal.SIGKILL
        after.append(writers.read())
    writers.write("new")
    return {"after": after, "during": during, "versions": writers.versions(), "last": writers.read()}


class SlowEmbedder(Embedder):
    """Writes down every text that it is given, and takes its time."""

    def __init__(self, seen: Path) -> None:
        super().__init__()
        self.__dict__["dimension"] = 384
        self.seen = seen

    def windows(self, text: str, title: str = "") -> list[str]:
        return [text]

    def pieces(self, texts: Sequence[str], progress: Any = None) -> Any:
        with self.seen.open("a") as file:
            file.writelines(f"{text}\n" for text in texts)
        time.sleep(0.02)
        return np.tile(np.eye(1, 384, dtype=np.float32), (len(texts), 1))


def kill_and_resume(writers: Writers) -> dict[str, Any]:
    """SIGKILL during one long build, again and again until it gets through; says how often each text was embedded."""
    seen = writers.folder.with_name("seen")
    many = [
        Passage(id=f"many#{number}", document_id="many", title="Many", text=f"Sentence number {number}.")
        for number in range(60)
    ]
    builder.CHUNK = 4
    kills = 0
    while True:
        child = writers.in_child(lambda: builder.build(writers.folder, many, SlowEmbedder(seen)))
        time.sleep(0.12 + 0.02 * kills)  # a busy machine needs longer for the rest of it
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            break
        os.kill(child, signal.SIGKILL)
        end = ended(child)
        if end == 0:  # it got through at the very moment
            break
        assert end == -signal.SIGKILL
        kills += 1
        assert kills < 100, "no build ever gets further"
    lines = Counter(seen.read_text().splitlines())
    held = len(load_view(writers.folder, writers.embedder).passages)
    left = sorted(path.name for path in writers.folder.iterdir() if path.name.startswith("unfinished"))
    return {"kills": kills, "texts": len(lines), "embedded": sum(lines.values()), "held": held, "left": left}


if __name__ == "__main__":
    folder, vectors, how = sys.argv[1:]
    kill: dict[str, Callable[[Writers], object]] = {
        "steps": kill_at_steps,
        "halves": kill_in_halves,
        "random": kill_at_random,
        "resume": kill_and_resume,
    }
    print(json.dumps(kill[how](Writers(Path(folder), known_vectors(Path(vectors))))))  # noqa: T201
