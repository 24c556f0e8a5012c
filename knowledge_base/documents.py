"""Files of many formats → text with page numbers, title, source, licence, region and date.

What stands in a Markdown, text or JSON lines file is kept word for word (only line ends are made equal), because quotes are
later looked up in it. Whatever cannot be read is named in one sentence, and the rest is read all the same.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from agri_llm.errors import DocumentUnreadable
from knowledge_base.layouts import read_docx, read_html, read_pdf
from knowledge_base.tables import csv_rows, json_rows
from knowledge_base.texts import (
    MAX_BYTES,
    Page,
    damaged,
    decoded,
    empty,
    front_matter,
    not_really,
    plain_lines,
    text_pages,
    too_large,
)

Kind = Literal["markdown", "plain", "row"]

_FIRST_HEADING = re.compile(r"^#{1,6}[ \t]+(.+)", re.MULTILINE)
_HAN = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True, kw_only=True)
class Document:
    """A file, or one row of a table, with everything a reader needs to find and judge it.

    `kind` says how to cut it: "markdown" has headings, "plain" has none, "row" is one unit already. `path` is for messages:
    the place below the folder that was given.
    """

    id: str
    title: str
    pages: tuple[Page, ...]
    kind: Kind
    path: str
    url: str | None = None
    licence: str | None = None
    region: tuple[str, ...] = ()
    crop: tuple[str, ...] = ()
    topic: tuple[str, ...] = ()
    language: str = "en"
    published: str | None = None
    sources: tuple[str, ...] = ()


def read(path: Path) -> list[Document]:
    """Return the documents of one file: one, or one per row of a table; raises DocumentUnreadable at the first fault."""
    documents = []
    for part in _parts(path, path.name):
        if isinstance(part, DocumentUnreadable):
            raise part
        documents.append(part)
    return documents


def read_all(paths: Iterable[Path]) -> Iterator[Document | DocumentUnreadable]:
    """Yield the documents of files and folders in a fixed order, and an error for each that cannot be read.

    Hidden files and symbolic links inside folders are skipped. An id that occurs twice is an error the second time.
    """
    seen: dict[str, str] = {}
    for path, name in _files(paths):
        for part in [path] if isinstance(path, DocumentUnreadable) else _parts(path, name):
            if isinstance(part, Document) and part.id in seen:
                yield DocumentUnreadable(
                    f"{part.path} has the id {part.id}, which {seen[part.id]} has already",
                    "two documents with one id cannot be told apart",
                    "rename the file or give it an id of its own",
                )
                continue
            if isinstance(part, Document):
                seen[part.id] = part.path
            yield part


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path | DocumentUnreadable, str]]:
    """Yield each file with its name below the folder it was found through, so that ids are the same on every machine."""
    for given in paths:
        if not given.is_dir():
            yield given, given.name
            continue
        faults: list[OSError] = []
        for folder, folders, files in os.walk(given, onerror=faults.append):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for path in (Path(folder) / name for name in sorted(files) if not name.startswith(".")):
                if path.is_file() and not path.is_symlink():
                    yield path, path.relative_to(given).as_posix()
        for fault in faults:
            yield _not_opened(Path(fault.filename).name, fault), ""


def _parts(path: Path, name: str) -> Iterator[Document | DocumentUnreadable]:
    """Yield the documents of one file; what is wrong with it is yielded too, never raised."""
    reader = READERS.get(_ending(path.name))
    try:
        size = path.stat().st_size
        if reader is None:
            raise DocumentUnreadable(
                f"{name} has a format we do not know",
                "its text cannot be read",
                f"save it as one of {', '.join(sorted(READERS))}",
            )
        if size == 0:
            raise empty(name)
        if size > MAX_BYTES:
            raise too_large(name)
        yield from reader(path, name)
    except DocumentUnreadable as error:
        yield error
    except OSError as error:
        yield _not_opened(name, error)


def _not_opened(name: str, error: OSError) -> DocumentUnreadable:
    reason = error.strerror or type(error).__name__
    return DocumentUnreadable(f"{name} cannot be opened", reason.lower(), "check its name and that you may read it")


def _ending(name: str) -> str:
    """Return the part of a file name that says its format, like ".pdf" or ".jsonl.gz"."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    return "".join(suffixes[-2:]) if suffixes[-2:-1] == [".jsonl"] else "".join(suffixes[-1:])


def _markdown(path: Path, name: str) -> Iterator[Document]:
    fields, text = front_matter(decoded(path.read_bytes(), name, "Markdown file"), name)
    yield _document({"title": _first_heading(text), **fields}, text_pages(text), "markdown", name)


def _first_heading(text: str) -> str:
    """Return the heading at the top, if there is one: later ones name a part, not the whole."""
    found = _FIRST_HEADING.search(text, 0, 1000)
    return found[1].rstrip("# \t").strip("*_ ") if found else ""


def _plain(path: Path, name: str) -> Iterator[Document]:
    yield _document({}, text_pages(decoded(path.read_bytes(), name, "text file")), "plain", name)


def _html(path: Path, name: str) -> Iterator[Document]:
    fields, pages = read_html(decoded(path.read_bytes(), name, "web page (HTML)"), name)
    yield _document(fields, pages, "markdown", name)


def _pdf(path: Path, name: str) -> Iterator[Document]:
    fields, pages = read_pdf(path.read_bytes(), name)
    yield _document(fields, pages, "plain", name)


def _docx(path: Path, name: str) -> Iterator[Document]:
    fields, pages = read_docx(path.read_bytes(), name)
    yield _document({**fields, "title": fields["title"] or _first_heading(pages[0].text)}, pages, "markdown", name)


def _csv(path: Path, name: str) -> Iterator[Document]:
    used: dict[str, int] = {}
    for fields in csv_rows(decoded(path.read_bytes(), name, "CSV file"), name):
        # Not the row number: a row keeps its id when another is put in above it.
        key = _slug(fields["key"] or fields["title"]) or _short_hash(fields["text"])
        used[key] = used.get(key, 0) + 1
        own = f"{_slug(_stem(name))}-{key}" + (f"-{used[key]}" if used[key] > 1 else "")
        yield _document({**fields, "id": own}, [Page(text=fields["text"])], "row", name)
    if not used:
        raise empty(name)


def _json_lines(path: Path, name: str) -> Iterator[Document | DocumentUnreadable]:
    found = False
    with _opened(path) as stream:
        try:
            for row in json_rows(stream, name, MAX_BYTES):
                found = True
                yield row if isinstance(row, DocumentUnreadable) else _from_json(row, name)
        except gzip.BadGzipFile as error:
            raise not_really(name, "gzip file") from error
        except (EOFError, zlib.error) as error:
            raise damaged(name) from error
    if not found:
        raise empty(name)


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")


def _from_json(row: Mapping[str, Any], name: str) -> Document | DocumentUnreadable:
    given = str(row.get("page") or "")
    number = int(given) if re.fullmatch(r"[0-9]{1,6}", given) else None
    page = Page(text=row["text"], number=number, label=given if given and number is None else None)
    own = f"{_slug(_stem(name))}-{_short_hash(row['text'])}"
    try:
        return _document({**row, "id": row.get("id") if row.get("id") not in (None, "") else own}, [page], "row", name)
    except DocumentUnreadable as error:
        return error


READERS: Mapping[str, Callable[[Path, str], Iterator[Document | DocumentUnreadable]]] = {
    ".md": _markdown,
    ".markdown": _markdown,
    ".txt": _plain,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
    ".docx": _docx,
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _json_lines,
    ".jsonl.gz": _json_lines,
}


def _document(fields: Mapping[str, Any], pages: Sequence[Page], kind: Kind, name: str) -> Document:
    """Put together what a file says about itself; unknown fields are left aside."""
    kept = tuple(replace(page, text=plain_lines(page.text)) for page in pages)
    text = "".join(page.text for page in kept)
    if not re.search(r"\w", text):
        raise empty(name)

    def one(*keys: str) -> str:
        return next((words[0] for key in keys if (words := _words(fields.get(key), key, name))), "")

    def several(*keys: str) -> tuple[str, ...]:
        return next((words for key in keys if (words := _words(fields.get(key), key, name))), ())

    return Document(
        id=one("id") or _slug(_stem(name)) or "document",
        title=one("title") or _stem(Path(name).name).replace("_", " "),
        pages=kept,
        kind=kind,
        path=name,
        url=one("url") or None,
        licence=one("licence", "license") or None,
        region=several("regions", "region"),
        crop=several("crops", "crop"),
        topic=several("topics", "topic"),
        language=one("language").lower().split("-")[0] or ("zh" if len(_HAN.findall(text)) > len(text) / 4 else "en"),
        published=one("published", "reviewed", "date") or None,
        sources=_sources(fields.get("sources"), name),
    )


def _words(value: Any, key: str, name: str) -> tuple[str, ...]:
    """Return one word or a list of words as a tuple, without empty ones."""
    listed = value if isinstance(value, list) else [value]
    if any(isinstance(item, dict | list) for item in listed):
        raise DocumentUnreadable(
            f'the field "{key}" of {name} is neither a word nor a list of words', "it cannot be shown", "write it as [a, b]"
        )
    return tuple(text for item in listed if item is not None and (text := " ".join(plain_lines(str(item)).split())))


def _sources(value: Any, name: str) -> tuple[str, ...]:
    """Return sources as "Organisation: Title (Year)"; a source may also be one text."""
    sources = []
    for source in value if isinstance(value, list) else []:
        said = source if isinstance(source, dict) else {"title": source}
        organisation, title, year = (" ".join(_words(said.get(key), key, name)) for key in ("organisation", "title", "year"))
        sources.append(": ".join(part for part in (organisation, title) if part) + (f" ({year})" if year else ""))
    return tuple(source for source in sources if source)


def _stem(name: str) -> str:
    return name[: len(name) - len(_ending(name))]


def _slug(words: str) -> str:
    """Return words as an id: small letters and digits of any script, joined by hyphens."""
    return re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", words).casefold()).strip("-")


def _short_hash(text: str) -> str:
    return hashlib.sha256(plain_lines(text).encode()).hexdigest()[:8]
