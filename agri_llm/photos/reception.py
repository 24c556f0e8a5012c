"""What comes from a person's phone or disk → a photo that is safe to look at and to keep, before any model sees it.

The picture is decoded and written anew, so nothing of the file that came is kept: no place, no time, no name, no hidden parts.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from agri_llm.errors import BadInput
from agri_llm.names import shown
from agri_llm.photos import worker
from agri_llm.photos.files import Kind, kind_of, other_kind
from agri_llm.photos.pixels import MAX_PIXELS, UNREADABLE, TooLarge, TooSmall, upright
from agri_llm.records import Photo

MOST = 6  # photos of one question
MAX_BYTES = 20 * 1024**2  # photos of phones have 2 to 12 MB
_QUALITY = 90
_NAME_LENGTH = 80
_ROOT = Path(__file__).parents[2]
_MEMORY_BYTES = 2 * 1024**3  # 50 megapixels take 0.4 GB as HEIC, 0.5 GB as AVIF; threads reserve more than they use
_COMPUTING_SECONDS = 20  # 50 megapixels take 1 to 2
_WAITING_SECONDS = 40.0  # by the clock, twice what the process may compute: a busy machine
# What the process needs of the environment: where its libraries are, nothing of ours (keys, addresses of databases).
_ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
# Two at once: the largest WebP takes 0.8 GB while it is decoded, and more at a time are not faster on two cores.
_TURNS = threading.BoundedSemaphore(2)


def receive(data: bytes, name: str = "photo") -> Photo:
    """Return a photo made of a file of JPEG, PNG, WebP, HEIC or AVIF; BadInput where it is none, too large or damaged.

    The first picture counts where there are several. The same bytes give the same photo.
    """
    name = _in_short(name)
    kind = _kind(data, name)
    picture = _picture(kind, data, name)
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=_QUALITY)
    content = written.getvalue()
    width, height = picture.size
    return Photo(data=content, sha256=hashlib.sha256(content).hexdigest(), width=width, height=height)


def receive_all(files: Sequence[tuple[bytes, str]]) -> tuple[Photo, ...]:
    """Return the photos of one question, files with their names; BadInput for one that cannot be used, or for too many."""
    if len(files) > MOST:
        raise BadInput(f"{len(files)} photos were given", f"we look at {MOST} at once", "choose the clearest")
    return tuple(receive(data, name) for data, name in files)


def image(photo: Photo) -> Image.Image:
    """Return the pixels of a photo, RGB, with nothing else."""
    picture = JpegImageFile(io.BytesIO(photo.data)).convert("RGB")
    picture.info.clear()
    return picture


def _in_short(name: str) -> str:
    """Return the name of a file as it may stand in a sentence."""
    name = shown(name).strip() or "The photo"
    return name if len(name) <= _NAME_LENGTH else f"…{name[-_NAME_LENGTH:]}"


def _kind(data: bytes, name: str) -> Kind:
    """Return the kind of a file whose size is fine; BadInput where it is empty, too large or no photo."""
    if not data:
        raise BadInput(f"{name} is empty", "there is nothing to look at", "send the photo again")
    if len(data) > MAX_BYTES:
        found, limit = f"{name} has {len(data) / 1024**2:.1f} MB", f"{MAX_BYTES // 1024**2} MB are the most we take"
        raise BadInput(found, limit, "send it smaller, or take it again with fewer pixels")
    kind = kind_of(data)
    if kind is None:
        found = f"{name} is {other_kind(data)}"
        raise BadInput(found, "we look at JPEG, PNG, WebP, HEIC and AVIF only", "save it as JPEG and send that")
    return kind


def _picture(kind: Kind, data: bytes, name: str) -> Image.Image:
    """Decode a file, or say in one sentence why it cannot be."""
    try:
        with _TURNS:
            return _apart(kind, data) if kind in ("HEIC", "AVIF") else upright(kind, data)
    except TooLarge as error:
        found = f"{name} has more than {MAX_PIXELS / 1e6:.0f} million pixels"
        raise BadInput(found, "it would take too much memory", "send it smaller, or take it again with fewer pixels") from error
    except TooSmall as error:
        found = f"{name} is too small or too narrow"
        raise BadInput(found, "no plant can be seen on it", "send the photo as the camera took it") from error
    except UNREADABLE as error:
        why = f"it begins like {kind} and is incomplete, damaged or made to do harm"
        raise BadInput(f"{name} cannot be decoded", why, "send it again, or take a new photo") from error


def _apart(kind: Kind, data: bytes) -> Image.Image:
    """Decode a file in a process of its own, so that one made to do harm ends that process alone."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    limits = (str(_MEMORY_BYTES), str(_COMPUTING_SECONDS))
    try:
        ended = subprocess.run(
            # From the folder of this package, not the present one: there may lie a json.py that somebody else wrote.
            [sys.executable, "-s", "-B", "-X", "utf8", "-m", "agri_llm.photos.worker", kind, *limits],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_ROOT,
            env=kept,
            timeout=_WAITING_SECONDS,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError("takes too long") from error
    if ended.returncode in (worker.TOO_LARGE, worker.TOO_SMALL):
        raise TooLarge if ended.returncode == worker.TOO_LARGE else TooSmall
    if ended.returncode != 0:
        raise ValueError(f"status {ended.returncode}")
    size = worker.SIZE.unpack_from(ended.stdout)
    return Image.frombytes("RGB", size, ended.stdout[worker.SIZE.size :])
