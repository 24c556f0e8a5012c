"""The process that decodes one HEIC or AVIF of a stranger, started by `agri_llm.photos`: bytes in, pixels or a status out.

A few kilobytes of these formats can ask for hours of decoding (one tile named 65,025 times, a thousand frames where one is
shown) or for more memory than they say, and their libraries cannot be told to stop. So this process sets itself limits and is
ended by the system. Linux enforces both; macOS not the one on memory; where Python has no module `resource` (Windows) only the
clock of the other side holds.
"""

from __future__ import annotations

import struct
import sys
from typing import get_args

from PIL import AvifImagePlugin

from agri_llm.photos.files import Kind
from agri_llm.photos.pixels import UNREADABLE, TooLarge, TooSmall, upright

SIZE = struct.Struct(">II")  # width and height, before the pixels
DAMAGED, TOO_LARGE, TOO_SMALL = 71, 72, 73  # exit statuses
_THREADS = 4  # as many as libheif takes; one for each of many cores would reserve more memory than the limit


def limit(memory_bytes: int, computing_seconds: int) -> None:
    """Set the limits on this process; those that a system does not know are left out."""
    try:
        import resource
    except ImportError:
        return
    limits = {"RLIMIT_AS": memory_bytes, "RLIMIT_CPU": computing_seconds, "RLIMIT_CORE": 0, "RLIMIT_FSIZE": 0}
    for name, most in limits.items():
        try:
            resource.setrlimit(getattr(resource, name), (most, most))
        except (AttributeError, ValueError, OSError):  # macOS refuses some
            continue


def work(kind: Kind) -> int:
    """Decode what comes in, write what was made of it, and return the exit status."""
    AvifImagePlugin.DEFAULT_MAX_THREADS = _THREADS
    try:
        picture = upright(kind, sys.stdin.buffer.read())
    except TooLarge:
        return TOO_LARGE
    except TooSmall:
        return TOO_SMALL
    except UNREADABLE:
        return DAMAGED
    sys.stdout.buffer.write(SIZE.pack(*picture.size) + picture.tobytes())
    return 0


if __name__ == "__main__":
    limit(int(sys.argv[2]), int(sys.argv[3]))
    sys.exit(work(next(kind for kind in get_args(Kind) if kind == sys.argv[1])))
