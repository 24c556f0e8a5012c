"""Files of many formats → text with page numbers, title, source, licence, region and date.

What stands in a Markdown, text or JSON lines file is kept word for word (only line ends are made equal), because quotes are
later looked up in it. Whatever cannot be read is named in one sentence, and the rest is read all the same. Files that come
from others are read through `knowledge_base.reading`, which does this in a process of its own.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from agri_llm.errors import DocumentUnreadable
from knowledge_base.files import content, ending, unknown_format, walk
from knowledge_base.languages import with_languages
from knowledge_base.layouts import read_html, read_pdf, stated_encoding
from knowledge_base.office import read_docx
from knowledge_base.tables import csv_rows, json_rows
from knowledge_base.texts import (
    MAX_UNPACKED_BYTES,
    Page,
    damaged,
    decoded,
    empty,
    front_matter,
    not_really,
    plain_lines,
    text_pages,
)

Kind = Literal["markdown", "plain", "row"]

_FIRST_HEADING = re.compile(r"^#{1,6}[ \t]+(.+)", re.MULTILINE)
_NAMED_LINES = 5  # faults of one file told one by one; after that they are counted


@dataclass(frozen=True, kw_only=True)
class Document:
    """A file, or one row of a table, with everything a reader needs to find and judge it.

    `kind` says how to cut it: "markdown" has headings, "plain" has none, "row" is one unit already. `path` is for messages:
    the place below the folder that was given. `language` is a code like "en", empty only until `with_languages` has looked.
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
    language: str = ""
    published: str | None = None
    sources: tuple[str, ...] = ()
    twin_of: str = ""  # id of the document that this one says in another language


def read(path: Path) -> list[Document]:
    """Return the documents of one file: one, or one per row of a table; raises DocumentUnreadable at the first fault."""
    documents: list[Document] = []
    for part in parts(path, path.name):
        if isinstance(part, DocumentUnreadable):
            raise part
        documents.append(part)
    return with_languages(documents)


def read_all(paths: Iterable[Path]) -> Iterator[Document | DocumentUnreadable]:
    """Yield the documents of files and folders of our own in a fixed order, and an error for each that cannot be read.

    Hidden files, symbolic links and pictures inside folders are skipped. An id that occurs twice is an error the second time.
    """
    yield from gathered(walk(paths), lambda path, name: list(parts(path, name)))


def gathered(
    files: Iterable[tuple[Path | DocumentUnreadable, str]],
    read_one: Callable[[Path, str], list[Document | DocumentUnreadable]],
) -> Iterator[Document | DocumentUnreadable]:
    """Yield what `read_one` finds in each file, with languages; an id that was there before is an error."""
    seen: dict[str, str] = {}
    for path, name in files:
        found = [path] if isinstance(path, DocumentUnreadable) else read_one(path, name)
        documents = iter(with_languages([part for part in found if isinstance(part, Document)]))
        for part in found:
            known = part if isinstance(part, DocumentUnreadable) else next(documents)
            if isinstance(known, Document) and known.id in seen:
                yield _twice(known, seen[known.id])
                continue
            if isinstance(known, Document):
                seen[known.id] = known.path
            yield known


def _twice(document: Document, first: str) -> DocumentUnreadable:
    return DocumentUnreadable(
        f"{document.path} has the id {document.id}, which {first} has already",
        "two documents with one id cannot be told apart",
        "rename the file or give it an id of its own",
    )


def parts(path: Path, name: str) -> Iterator[Document | DocumentUnreadable]:
    """Yield the documents of one file, `language` empty where none is stated; what is wrong is yielded too, never raised."""
    reader = READERS.get(ending(path.name))
    try:
        if reader is None:
            raise unknown_format(name, READERS)
        yield from reader(content(path, name), name)
    except DocumentUnreadable as error:
        yield error


def _markdown(data: bytes, name: str) -> Iterator[Document]:
    fields, text = front_matter(decoded(data, name, "Markdown file"), name)
    yield _document({"title": _first_heading(text), **fields}, text_pages(text), "markdown", name)


def _first_heading(text: str) -> str:
    """Return the heading at the top, if there is one: later ones name a part, not the whole."""
    found = _FIRST_HEADING.search(text, 0, 1000)
    return found[1].rstrip("# \t").strip("*_ ") if found else ""


def _plain(data: bytes, name: str) -> Iterator[Document]:
    yield _document({}, text_pages(decoded(data, name, "text file")), "plain", name)


def _html(data: bytes, name: str) -> Iterator[Document]:
    text = decoded(data, name, "web page (HTML)", stated=stated_encoding(data))
    fields, pages = read_html(text, name)
    yield _document(fields, pages, "markdown", name)


def _pdf(data: bytes, name: str) -> Iterator[Document]:
    fields, pages = read_pdf(data, name)
    yield _document(fields, pages, "plain", name)


def _docx(data: bytes, name: str) -> Iterator[Document]:
    fields, pages = read_docx(data, name)
    yield _document({**fields, "title": fields["title"] or _first_heading(pages[0].text)}, pages, "markdown", name)


def _csv(data: bytes, name: str) -> Iterator[Document]:
    used: dict[str, int] = {}
    for fields in csv_rows(decoded(data, name, "CSV file"), name):
        # Not the row number: a row keeps its id when another is put in above it.
        key = _slug(fields["key"] or fields["title"]) or _short_hash(fields["text"])
        used[key] = used.get(key, 0) + 1
        own = f"{_slug(_stem(name))}-{key}" + (f"-{used[key]}" if used[key] > 1 else "")
        yield _document({**fields, "id": own}, [Page(text=fields["text"])], "row", name)
    if not used:
        raise empty(name)


def _json_lines(data: bytes, name: str) -> Iterator[Document | DocumentUnreadable]:
    faults: list[DocumentUnreadable] = []
    found = 0
    try:
        for row in json_rows(_unpacked(data, name), name, MAX_UNPACKED_BYTES):
            part = row if isinstance(row, DocumentUnreadable) else _from_json(row, name)
            if isinstance(part, Document):
                found += 1
                yield part
            else:
                faults.append(part)
    except gzip.BadGzipFile as error:
        raise not_really(name, "gzip file") from error
    except (EOFError, zlib.error):
        faults.append(damaged(name))
    if not found and not faults:
        raise empty(name)
    if not found and len(faults) > 1:
        raise DocumentUnreadable(
            f"None of {len(faults)} lines of {name} can be used", f"{faults[0].what}, and so on", faults[0].next_step
        )
    yield from faults[:_NAMED_LINES]
    if len(faults) > _NAMED_LINES:
        raise DocumentUnreadable(
            f"{len(faults) - _NAMED_LINES} more lines of {name} cannot be used", "their passages are missing", "correct them"
        )


def _unpacked(data: bytes, name: str) -> BinaryIO:
    stream = io.BytesIO(data)
    return cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if name.lower().endswith(".gz") else stream


def _from_json(row: Mapping[str, Any], name: str) -> Document | DocumentUnreadable:
    given = str(row.get("page") or "")
    number = int(given) if re.fullmatch(r"[0-9]{1,6}", given) else None
    page = Page(text=row["text"], number=number, label=given if given and number is None else None)
    own = f"{_slug(_stem(name))}-{_short_hash(row['text'])}"
    try:
        return _document({**row, "id": row.get("id") if row.get("id") not in (None, "") else own}, [page], "row", name)
    except DocumentUnreadable as error:
        return error


READERS: Mapping[str, Callable[[bytes, str], Iterator[Document | DocumentUnreadable]]] = {
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
    kept = tuple(replace(page, text=plain_lines(page.text), label=page.label and plain_lines(page.label)) for page in pages)
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
        language=re.split("[-_]", one("language").lower())[0],
        published=one("published", "reviewed", "date") or None,
        sources=_sources(fields.get("sources"), name),
        twin_of=str(fields.get("twin_of") or ""),
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
    return name[: len(name) - len(ending(name))]


def _slug(words: str) -> str:
    """Return words as an id: small letters and digits of any script, joined by hyphens."""
    return re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", words).casefold()).strip("-")


def _short_hash(text: str) -> str:
    return hashlib.sha256(plain_lines(text).encode()).hexdigest()[:8]
