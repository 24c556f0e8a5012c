"""Files of strangers → documents, read in a process of its own, so that a file made to do harm ends that process alone.

One worker (`knowledge_base.worker`) reads many files, because starting one takes longer than reading a page. It is started
afresh after a crash, a limit, and some thousand files. What it answers is JSON, checked against the records it may hold.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import TypeAdapter, ValidationError

from agri_llm.errors import DocumentUnreadable
from agri_llm.names import shown
from agri_llm.records import Passage
from knowledge_base.documents import READERS, Document, gathered
from knowledge_base.files import ending, unknown_format, walk
from knowledge_base.passages import cut_all
from knowledge_base.terms import Glossary
from knowledge_base.worker import OUT_OF_MEMORY

_ROOT = Path(__file__).parent.parent
_FILES_PER_WORKER = 5000  # libraries keep some memory of each file; starting anew takes a third of a second
# What a worker needs of the environment: where its own libraries are, nothing of ours (keys, addresses of databases).
_ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TZ")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What reading one file may take: several times what the largest sound files need."""

    memory_bytes: int = 2 * 1024**3  # a PDF of 190 MB takes 0.5 GB, a text of 50 MB 0.4 GB; small computers have 4 GB
    computing_seconds: int = 120  # a page of PDF takes 0.03 to 0.05 s: some 2,500 pages
    waiting_seconds: float = 180.0  # by the clock: a slow disk, a busy machine
    answer_bytes: int = 256 * 1024**2  # the largest text, 50 MB, in the longest way of writing it; a million short rows


@dataclass(frozen=True, kw_only=True)
class _Answer:
    document: Document | None = None
    unreadable: tuple[str, str, str] | None = None
    end: bool = False


_ANSWER = TypeAdapter(_Answer)


def read_all(paths: Iterable[Path], limits: Limits | None = None) -> Iterator[Document | DocumentUnreadable]:
    """Yield the documents of files and folders in a fixed order, and an error for each file that cannot be read.

    Like `documents.read_all`, in another process and within `limits`.
    """
    with Reader(limits or Limits()) as reader:
        yield from gathered(walk(paths), reader.read)


def read_passages(paths: Iterable[Path]) -> tuple[list[Passage], list[DocumentUnreadable]]:
    """Read and cut files of strangers; crops get their glossary ids. Returns the passages and one error per fault."""
    faults: list[DocumentUnreadable] = []
    glossary = Glossary.load()

    def documents() -> Iterator[Document]:
        for part in read_all(paths):
            if isinstance(part, DocumentUnreadable):
                faults.append(part)
                continue
            yield replace(part, crop=glossary.crop_ids(part.crop))

    return cut_all(documents()), faults


class _Clock:
    """Ends a worker that takes too long; `struck` says whether it did."""

    def __init__(self, worker: subprocess.Popen[bytes], seconds: float) -> None:
        self.struck = False
        self._worker = worker
        self.timer = threading.Timer(seconds, self._strike)
        self.timer.daemon = True
        self.timer.start()

    def _strike(self) -> None:
        self.struck = True
        self._worker.kill()


class Reader:
    """A worker and what is known of it; use it in a `with` block, so that no worker stays behind."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._worker: subprocess.Popen[bytes] | None = None
        self._files = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def read(self, path: Path, name: str) -> list[Document | DocumentUnreadable]:
        """Return what is in a file; where the worker dies of it, one error that says why and nothing else of that file."""
        if ending(path.name) not in READERS:
            return [unknown_format(name, READERS)]
        if self._files >= _FILES_PER_WORKER or (self._worker is not None and self._worker.poll() is not None):
            self._stop()
        worker = self._worker or self._start()
        clock = _Clock(worker, self.limits.waiting_seconds)
        try:
            self._files += 1
            return list(self._answers(worker, path, name))
        except DocumentUnreadable as error:
            self._stop()
            return [error]
        except (BrokenPipeError, EOFError):
            status = worker.wait()
            self._stop()
            return [self._why(name, status, clock.struck)]
        finally:
            clock.timer.cancel()
            if clock.struck:  # perhaps just after the last answer: the next file is not to blame
                self._stop()

    def _answers(self, worker: subprocess.Popen[bytes], path: Path, name: str) -> Iterator[Document | DocumentUnreadable]:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(json.dumps({"path": str(path.absolute()), "name": name}).encode() + b"\n")
        worker.stdin.flush()
        left = self.limits.answer_bytes
        while True:
            line = worker.stdout.readline(left + 1)
            left -= len(line)
            if left < 0:
                raise _too_much(name, f"more than {self.limits.answer_bytes // 1024**2} MB of text")
            if not line.endswith(b"\n"):
                raise EOFError
            try:
                answer = _ANSWER.validate_json(line, strict=True)
            except ValidationError:
                raise _stopped(name, "answered what is no document") from None
            if answer.end:
                return
            if answer.unreadable is not None:
                yield DocumentUnreadable(*(shown(words) for words in answer.unreadable))
            elif answer.document is not None:
                yield replace(answer.document, path=name)

    def _why(self, name: str, status: int, late: bool) -> DocumentUnreadable:
        """Say why the worker died, from its exit status; a negative one is the signal that ended it."""
        if late:
            return _too_much(name, f"more than {self.limits.waiting_seconds:g} seconds")
        if status == OUT_OF_MEMORY:
            return _too_much(name, f"more than {self.limits.memory_bytes // 1024**2} MB of memory")
        if status == -getattr(signal, "SIGXCPU", 0):
            return _too_much(name, f"more than {self.limits.computing_seconds} seconds of computing")
        return _stopped(name, f"died of it ({signal.Signals(-status).name if status < 0 else f'status {status}'})")

    def _start(self) -> subprocess.Popen[bytes]:
        """Start a worker in a session of its own, so that Ctrl-C reaches us and not it; it ends when we close its input."""
        limits = (str(self.limits.memory_bytes), str(self.limits.computing_seconds))
        kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        self._worker = subprocess.Popen(
            # From the folder of this package, not the present one: there may lie a json.py that somebody else wrote.
            [sys.executable, "-s", "-B", "-X", "utf8", "-m", "knowledge_base.worker", *limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_ROOT,
            env={**kept, "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
        self._files = 0
        return self._worker

    def _stop(self) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.kill()  # it holds nothing that must be finished
        with contextlib.suppress(BrokenPipeError):
            worker.communicate()


def _too_much(name: str, what: str) -> DocumentUnreadable:
    return DocumentUnreadable(
        f"{name} takes {what} to read", "we stop there so that one file cannot stop all others", "split it or save it anew"
    )


def _stopped(name: str, how: str) -> DocumentUnreadable:
    return DocumentUnreadable(
        f"{name} cannot be read, the program that tried it {how}",
        "it is damaged or made to do harm",
        "save it anew or leave it",
    )
