"""The files a person names: which of them may hold text, and how they are opened safely.

Nothing outside the folders that were given is read: links inside a folder are not followed, and what is not a plain file
(a pipe, a socket, a device) is never opened, so that nothing waits for ever.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path

from agri_llm.errors import DocumentUnreadable
from agri_llm.names import shown
from knowledge_base.texts import empty, too_large

MAX_FILE_BYTES = 200 * 1024 * 1024  # manuals with photos reach 100 MB; a person splits what is larger

# Files that stand among documents in every folder and hold no text of their own: left out without a word.
_NO_DOCUMENTS = set(
    ".avi .avif .bmp .gif .heic .ico .jpeg .jpg .m4a .mkv .mov .mp3 .mp4 .ogg .png .svg .tif .tiff .wav .webm .webp".split()
)
_ADVICE = {
    "save each sheet as CSV": ".xlsx .xls .xlsm .xlsb .ods .numbers",
    "save it as DOCX or PDF": ".doc .dot .odt .rtf .docm .pages .wpd .tex",
    "save it as PDF": ".pptx .ppt .odp .key .epub .mobi .djvu .xps .ps .indd",
    "unpack it and name the folder": ".zip .gz .tar .tgz .bz2 .xz .7z .rar",
    "run text recognition (OCR) on it and add the text": " ".join(sorted(_NO_DOCUMENTS)),
    "save the page as HTML": ".mht .mhtml .webarchive .xhtml",
    'save it as JSON lines with a field "text", or as CSV': ".json .xml .yaml .yml .parquet .sqlite .db",
}


def walk(paths: Iterable[Path]) -> Iterator[tuple[Path | DocumentUnreadable, str]]:
    """Yield each file with its name below the folder it was found through, so that ids are the same on every machine.

    Hidden files, symbolic links and pictures inside folders are skipped; a file named by itself is always tried.
    """
    for given in paths:
        if not given.is_dir():
            yield Path(os.path.realpath(given)), shown(given.name)  # a link that a person names is meant
            continue
        faults: list[OSError] = []
        for folder, folders, files in os.walk(given, onerror=faults.append):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for path in (Path(folder) / name for name in sorted(files) if not name.startswith(".")):
                if path.is_file() and not path.is_symlink() and ending(path.name) not in _NO_DOCUMENTS:
                    yield path, shown(path.relative_to(given).as_posix())
        for fault in faults:
            name = shown(Path(fault.filename).name)
            yield not_opened(name, fault), name


def content(path: Path, name: str) -> bytes:
    """Return what a file holds; it is read twice, so that half of an old and half of a new version are never one document.

    Raises DocumentUnreadable for what is empty, larger than MAX_FILE_BYTES, no plain file, or changing meanwhile.
    """
    try:
        with _opened(path, name) as first:
            before = _version(first)
            data = first.read(before[0] + 1)  # reading takes as much memory as it may fill
        with _opened(path, name) as second:
            again = hashlib.file_digest(second, "sha256").digest()
            after = _version(second)
    except OSError as error:
        raise not_opened(name, error) from error
    if before != after or hashlib.sha256(data).digest() != again:
        raise DocumentUnreadable(
            f"{name} changed while it was read", "its text would be half old and half new", "add it again when it is at rest"
        )
    if not data:
        raise empty(name)
    return data


def _version(stream: BufferedReader) -> tuple[int, int, int]:
    """Return the size of an open file, when it was last written, and which file it is."""
    about = os.fstat(stream.fileno())
    return about.st_size, about.st_mtime_ns, about.st_ino


def _opened(path: Path, name: str) -> BufferedReader:
    """Open a plain file without waiting; the size is looked at before anything is read."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    stream = os.fdopen(os.open(path, flags), "rb")
    about = os.fstat(stream.fileno())
    if stat.S_ISREG(about.st_mode) and about.st_size <= MAX_FILE_BYTES:
        return stream
    stream.close()
    raise too_large(name, MAX_FILE_BYTES) if stat.S_ISREG(about.st_mode) else not_a_file(name)


def ending(name: str) -> str:
    """Return the part of a file name that says its format, like ".pdf" or ".jsonl.gz"."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    return "".join(suffixes[-2:]) if suffixes[-2:-1] == [".jsonl"] else "".join(suffixes[-1:])


def not_opened(name: str, error: OSError) -> DocumentUnreadable:
    """Say that a file cannot be opened, with the system's reason."""
    reason = error.strerror or type(error).__name__
    return DocumentUnreadable(f"{name} cannot be opened", reason.lower(), "check its name and that you may read it")


def not_a_file(name: str) -> DocumentUnreadable:
    """Say that something is a pipe, a socket or a device."""
    return DocumentUnreadable(f"{name} is not a plain file", "reading it could wait for ever", "copy its content into a file")


def unknown_format(name: str, known: Iterable[str]) -> DocumentUnreadable:
    """Say that a format is not read, and into which one it can be turned."""
    advice = next((advice for advice, endings in _ADVICE.items() if ending(name) in endings.split()), "save it in one of these")
    return DocumentUnreadable(
        f"{name} has a format we do not read", "its text cannot be found", f"{advice} (we read {', '.join(sorted(known))})"
    )
