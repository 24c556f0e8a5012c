"""The index folder on disk: versions written beside each other, a manifest written last, a pointer swapped in one step.

    INDEX/CURRENT                    name of the version in use, replaced atomically
    INDEX/version-<id>/manifest.json hash and size of every file, embedder, tokenizer; written last, means "complete"

    INDEX/version-<id>/segment-<id>/ passages that were indexed together (segments.py); later versions hold hard links to it

A reader sees the old version or the new one, never something between; the version before the present one is kept, and so is
one that a reader is opening.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from agri_llm.errors import IndexMismatch, IndexMissing, KnowledgeError
from agri_llm.records import new_id

FORMAT = 2
POINTER = "CURRENT"
MANIFEST = "manifest.json"
VERSION = "version-"  # what the name of every version folder begins with
HASHED_AT_OPEN = 64 << 20  # bytes; a bigger file is hashed beside the first searches, a second per gigabyte
REMEMBERED = 1 << 20  # bytes; a file of this size or more is hashed once in a process while it stays unchanged

_held: ContextVar[frozenset[Path]] = ContextVar("indexes that this piece of work may write", default=frozenset())


_hashes: dict[tuple[int, int, int, int, int], str] = {}  # of big files, by what changes with every change of them


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        about = os.fstat(file.fileno())
        if about.st_size < REMEMBERED:
            return hashlib.file_digest(file, "sha256").hexdigest()
        key = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
        if key not in _hashes:
            _hashes[key] = hashlib.file_digest(file, "sha256").hexdigest()
        return _hashes[key]


def current_version(index: Path) -> Path:
    """Return the version folder in use; raises IndexMissing where there is none."""
    try:
        name = (index / POINTER).read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        raise IndexMissing(
            f"There is no index in {index}", "nothing can be searched", "build one with `agri index build`"
        ) from None
    except UnicodeDecodeError as error:
        raise _damaged(index, f"{POINTER} cannot be read") from error
    if not name.startswith(VERSION) or Path(name).name != name or "\0" in name:
        raise _damaged(index, f"{POINTER} holds {name!r}")
    return index / name


def read_manifest(version: Path, only: Collection[str] | None = None, *, hash_up_to: int | None = None) -> dict[str, Any]:
    """Return the manifest of a version after checking its own hash and that of every file it names; raises IndexMismatch.

    `only` names the files to look at where the others do not matter; of files with more than `hash_up_to` bytes only the size
    is looked at.
    """
    try:
        manifest: dict[str, Any] = json.loads((version / MANIFEST).read_text(encoding="utf-8"))
        files: dict[str, dict[str, Any]] = manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(version.parent, f"{MANIFEST} cannot be read") from error
    if manifest.get("format") != FORMAT:
        raise _damaged(version.parent, f"it has format {manifest.get('format')}, this program reads {FORMAT}")
    if manifest.pop("sha256", None) != _hash(manifest):
        raise _damaged(version.parent, f"{MANIFEST} was changed after it was written")
    for name in files if only is None else only:
        promised, path = files[name], version / name
        if not path.is_file():
            raise _damaged(version.parent, f"{name} is missing")
        size = path.stat().st_size
        hashed = hash_up_to is None or size <= hash_up_to
        if size != promised["size"] or (hashed and sha256_of(path) != promised["sha256"]):
            raise _damaged(version.parent, f"{name} was changed after it was written")
    return manifest


@contextlib.contextmanager
def being_read(version: Path) -> Iterator[None]:
    """Keep writers from deleting a version while a reader opens its files; those it has opened stay readable afterwards.

    Raises FileNotFoundError where the version is gone already.
    """
    descriptor = os.open(version, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def take_over(name: str, before: Path, version: Path, files: Mapping[str, Any]) -> dict[str, Any]:
    """Link the files of a segment of the version before into a new one; returns what the manifest says of them.

    Links cost nothing, however big the segment; where the file system has none, the files are copied.
    """
    taken = {path: about for path, about in files.items() if path.startswith(f"{name}/")}
    for path in taken:
        (version / path).parent.mkdir(parents=True, exist_ok=True)
        try:
            (version / path).hardlink_to(before / path)
        except OSError:
            shutil.copyfile(before / path, version / path)
    return taken


@contextlib.contextmanager
def new_version(index: Path, manifest: dict[str, Any]) -> Iterator[Path]:
    """Give an empty folder to fill; on leaving it is sealed with `manifest` and becomes the current version.

    What the body puts under "files" of the manifest is known already and not hashed again. A second writer is refused with
    KnowledgeError. When the body raises, the index stays as it was.
    """
    with only_writer(index):
        before = _pointed(index)
        version = index / f"{VERSION}{new_id()}"
        version.mkdir()
        try:
            yield version
            _seal(version, manifest)
        except BaseException:
            shutil.rmtree(version, ignore_errors=True)
            raise
        _replace(index / POINTER, version.name)
        _sync(index)
        for folder in index.glob(f"{VERSION}*"):
            if folder.name not in {version.name, before}:
                _delete(folder)


def _delete(version: Path) -> None:
    """Delete a version unless somebody is just opening it; the next writer tries again."""
    descriptor = os.open(version, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(version, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)


def _seal(version: Path, manifest: dict[str, Any]) -> None:
    files = dict(manifest.get("files", {}))
    for path in sorted(version.rglob("*")):
        name = str(path.relative_to(version))
        if name not in files:
            _sync(path)
        if name not in files and path.is_file():
            files[name] = {"sha256": sha256_of(path), "size": path.stat().st_size}
    whole = {"format": FORMAT, **manifest, "files": files}
    text = json.dumps({**whole, "sha256": _hash(whole)}, indent=1, ensure_ascii=False, sort_keys=True)
    _replace(version / MANIFEST, text)
    _sync(version)


def _hash(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8")
    _sync(temporary)
    temporary.replace(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pointed(index: Path) -> str:
    try:
        return current_version(index).name
    except KnowledgeError:
        return ""


@contextlib.contextmanager
def only_writer(index: Path) -> Iterator[None]:
    """Hold the index for one writer, from reading what is there to writing what follows; the holder may enter it again.

    A second writer is refused with KnowledgeError, in this process as in another; a killed one holds nothing.
    """
    index = index.resolve()
    if index in _held.get():
        yield
        return
    index.mkdir(parents=True, exist_ok=True)
    with (index / "writer.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise KnowledgeError(
                f"Another process is writing the index in {index}",
                "two writers would lose each other's work",
                "wait until it has finished, then try again",
            ) from None
        token = _held.set(_held.get() | {index})
        try:
            yield
        finally:
            _held.reset(token)


def _damaged(index: Path, found: str) -> IndexMismatch:
    return IndexMismatch(
        f"The index in {index} cannot be trusted ({found})",
        "a damaged index could cite the wrong text",
        "build it again with `agri index build`",
    )
