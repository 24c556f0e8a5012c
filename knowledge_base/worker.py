"""The process that reads files of strangers: it sets its own limits, then answers one JSON line with some JSON lines.

Started by `knowledge_base.reading`. It knows no secrets, writes no files and never sends anything but text; when it runs into
a limit it dies, and the other side says so. Nothing is unpickled on either side.

Which limits hold where: Linux enforces all of them. macOS enforces those on computing time, open files and core dumps, but
not those on memory. Where Python has no module `resource` (Windows) this process sets none; the clock and the limit on how
much may be answered are kept by the other side everywhere.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

from agri_llm.errors import DocumentUnreadable
from knowledge_base.documents import Document, parts

OUT_OF_MEMORY = 77  # exit status: the other side names the limit
_OPEN_FILES = 64


def limit_forever(memory_bytes: int) -> None:
    """Set what holds for the whole life of this process; limits that a system does not know are left out."""
    try:
        import resource
    except ImportError:
        return
    limits = {"RLIMIT_AS": memory_bytes, "RLIMIT_CORE": 0, "RLIMIT_FSIZE": 0, "RLIMIT_NOFILE": _OPEN_FILES, "RLIMIT_NPROC": 0}
    for name, most in limits.items():
        try:
            resource.setrlimit(getattr(resource, name), (most, most))
        except (AttributeError, ValueError, OSError):  # macOS refuses some
            continue


def limit_computing(seconds: int) -> None:
    """Let this process compute for `seconds` more, then be ended by the system."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def answer(request: Mapping[str, Any], out: BinaryIO) -> None:
    """Read one file and write a line for each document or fault in it, and one that says it was the last."""
    for part in parts(Path(request["path"]), request["name"]):
        if isinstance(part, DocumentUnreadable):
            _send(out, {"unreadable": [part.what, part.why, part.next_step]})
        else:
            _send(out, {"document": _stated(part)})
    _send(out, {"end": True})
    out.flush()


def _stated(document: Document) -> dict[str, Any]:
    """Return the fields of a document that say something; empty ones would double the size of a table's rows."""
    stated = {field.name: value for field in fields(document) if (value := getattr(document, field.name))}
    stated["pages"] = [{"text": page.text, "number": page.number, "label": page.label} for page in document.pages]
    return stated


def _send(out: BinaryIO, line: Mapping[str, Any]) -> None:
    out.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n")


def serve(memory_bytes: int, computing_seconds: int) -> None:
    """Answer requests until there are no more; whatever libraries print goes nowhere."""
    out = os.fdopen(os.dup(1), "wb")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    limit_forever(memory_bytes)
    try:
        for line in sys.stdin.buffer:
            limit_computing(computing_seconds)
            answer(json.loads(line), out)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # nothing more is tried: there is no memory to try it with


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
