"""Files with a layout (PDF, Word, web page) → the text of their pages.

The libraries that know these formats are imported where they are used, so that this module loads at once.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agri_llm.errors import DocumentUnreadable
from knowledge_base.tables import row_text
from knowledge_base.texts import MAX_BYTES, Page, damaged, not_really, too_large

if TYPE_CHECKING:
    from docx.table import Table
    from docx.text.paragraph import Paragraph
    from pypdf import PdfReader

# What the libraries raise on damaged files beside their own errors: found by cutting and changing bytes of sound files.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)

# What these libraries log is for programmers; what a person has to know, we say.
logging.getLogger("pypdf").setLevel(logging.CRITICAL)
logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
logging.getLogger("htmldate").setLevel(logging.CRITICAL)

# Titles that programs write on their own and nobody chose.
_MACHINE_TITLE = re.compile(r"(?i)^(?:untitled.*|microsoft word.*|slide 1|.*\.(?:docx?|pdf|indd|qxd|pmd|pptx?|rtf|p65))$")
# Marks that Markdown needs and readers do not: stars around bold words, backslashes before signs that stood in the page.
# The backslash before a "#" or "|" stays: without it a line would become a heading, a cell two cells.
_EMPHASIS = re.compile(r"(?<![\\\w*])(\*{1,2})(?=[^\s*])((?:[^*\n\\]|\\.)+)(?<=\S)\1(?![\w*])")
_ESCAPE = re.compile(r"\\([!\"$-/:-@\[-`{}~])")


def read_pdf(data: bytes, name: str) -> tuple[dict[str, Any], list[Page]]:
    """Return the title of a PDF and one page of text per physical page; pages without text are kept empty."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    if b"%PDF-" not in data[:1024]:  # readers accept rubbish before the mark, within the first 1,024 bytes (ISO 32000, annex H)
        raise not_really(name, "PDF")
    try:
        reader = PdfReader(io.BytesIO(data))
        locked = reader.is_encrypted and not reader.decrypt("")
        pages = [] if locked else _pdf_pages(reader)
        title = "" if locked else _chosen(str((reader.metadata and reader.metadata.title) or ""))
    except DependencyError:
        locked = True
    except (PyPdfError, *_DAMAGE) as error:
        raise damaged(name) from error
    if locked:
        raise DocumentUnreadable(
            f"{name} is protected with a password", "its text cannot be read", "save a copy without protection and add that one"
        )
    if not any(page.text.strip() for page in pages):
        raise DocumentUnreadable(
            f"{name} holds pictures of {len(pages)} pages but no text",
            "a scan cannot be searched",
            "run text recognition (OCR) on it, then add it again",
        )
    return {"title": title}, pages


def _pdf_pages(reader: PdfReader) -> list[Page]:
    labels = reader.page_labels
    return [
        Page(text=page.extract_text(), number=number, label=label if label != str(number) else None)
        for number, (page, label) in enumerate(zip(reader.pages, labels, strict=True), start=1)
    ]


def read_docx(data: bytes, name: str) -> tuple[dict[str, Any], list[Page]]:
    """Return the title and the text of a Word file, headings as Markdown, table rows as "column: value" lines."""
    from docx import Document as WordDocument
    from docx.opc.exceptions import OpcError
    from docx.text.paragraph import Paragraph

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except zipfile.BadZipFile as error:
        raise not_really(name, "Word document (DOCX)") from error
    except _DAMAGE as error:
        raise damaged(name) from error
    if "word/document.xml" not in {entry.filename for entry in entries}:
        raise not_really(name, "Word document (DOCX)")
    if sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise too_large(name)
    try:
        word = WordDocument(io.BytesIO(data))
        lines = [
            line
            for part in word.iter_inner_content()
            for line in (_paragraph_lines(part) if isinstance(part, Paragraph) else _table_lines(part))
        ]
        title = _chosen(word.core_properties.title or "")
    except (OpcError, *_DAMAGE) as error:
        raise damaged(name) from error
    return {"title": title}, [Page(text="\n".join(lines))]


def _paragraph_lines(paragraph: Paragraph) -> Iterator[str]:
    text = paragraph.text.strip()
    if not text:
        return
    style = (paragraph.style.name if paragraph.style is not None else "") or ""
    heading = re.fullmatch(r"(?i)heading ([1-6])", style)
    if style.startswith("List"):
        yield f"- {text}"
    elif heading or style == "Title":
        yield f"\n{'#' * int(heading[1] if heading else 1)} {' '.join(text.split())}\n"
    else:
        yield f"\n{text}\n"


def _table_lines(table: Table) -> Iterator[str]:
    """Write each row with the column names of the first one, so that no amount is parted from what it is an amount of."""
    rows = []
    for row in table.rows:
        merged: list[Any] = []  # a cell spread over several columns comes once per column, as the same element
        texts = []
        for cell in row.cells:
            texts.append("" if cell._tc in merged else " ".join(cell.text.split()))
            merged.append(cell._tc)
        rows.append(texts)
    yield ""
    if len(rows) == 1:
        yield row_text([""] * len(rows[0]), rows[0])
    for row_cells in rows[1:]:
        yield row_text(rows[0], row_cells)
    yield ""


def read_html(text: str, name: str) -> tuple[dict[str, Any], list[Page]]:
    """Return the readable part of a web page as Markdown, without menus and footers, with its title and address."""
    import trafilatura

    if not re.search(r"<[A-Za-z!]", text):
        raise not_really(name, "web page (HTML)")
    try:
        body = trafilatura.extract(text, output_format="markdown", include_comments=False, include_links=False)
        about = trafilatura.extract_metadata(text, date_config={"original_date": True, "extensive_search": False})
    except _DAMAGE as error:
        raise damaged(name) from error
    if not body:
        raise DocumentUnreadable(
            f"{name} has no readable text", "a page of menus or pictures cannot be searched", "save the page with its article"
        )
    body = _ESCAPE.sub(r"\1", _EMPHASIS.sub(r"\2", body))
    fields = {"title": about.title, "url": about.url, "published": about.date, "licence": about.license}
    language = re.search(r"(?i)<html[^>]*\slang\s*=\s*[\"']?([a-z]{2,3})\b", text[:10_000])
    return {**fields, "language": language[1] if language else ""}, [Page(text=body)]


def _chosen(title: str) -> str:
    """Return a title that somebody chose, or nothing."""
    title = " ".join(title.split())
    return "" if _MACHINE_TITLE.match(title) else title
