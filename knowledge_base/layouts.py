"""PDF files and web pages → the text of their pages.

The libraries that know these formats are imported where they are used, so that this module loads at once.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

from agri_llm.errors import DocumentUnreadable
from knowledge_base.columns import PageReader
from knowledge_base.texts import Page, damaged, empty, not_really

if TYPE_CHECKING:
    from pypdf import PdfReader

# What the libraries raise on damaged files beside their own errors: found by cutting and changing bytes of sound files.
DAMAGE = (
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

_BOXES = re.compile(r"(?i)<(/?)(?:div|span|table|tr|td|ul|ol|li|section|article|blockquote|font|b|i|em|strong)\b")
_NOT_READ = ["//nav", "//footer", "//script", "//style"]  # of short pages the library keeps everything else
_MAX_DEPTH = 5000  # real pages stay below 100, and forgotten closing tags of list items below a few thousand

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
    from pypdf.errors import DependencyError, LimitReachedError, PyPdfError

    if b"%PDF-" not in data[:1024]:  # readers accept rubbish before the mark, within the first 1,024 bytes (ISO 32000, annex H)
        raise not_really(name, "PDF")
    try:
        reader = PdfReader(io.BytesIO(data))
        locked = reader.is_encrypted and not reader.decrypt("")
        pages = [] if locked else _pdf_pages(reader)
        title = "" if locked else chosen_title(str((reader.metadata and reader.metadata.title) or ""))
    except DependencyError:
        locked = True
    except LimitReachedError as error:
        raise DocumentUnreadable(
            f"{name} unpacks to far more than a page can hold", "it would fill the memory", "print it to a new PDF and add that"
        ) from error
    except (PyPdfError, *DAMAGE) as error:
        raise damaged(name) from error
    if locked:
        raise DocumentUnreadable(
            f"{name} is protected with a password", "its text cannot be read", "save a copy without protection and add that one"
        )
    if not pages:
        raise empty(name)
    if not any(page.text.strip() for page in pages):
        raise DocumentUnreadable(
            f"{name} holds pictures of {len(pages)} pages but no text",
            "a scan cannot be searched",
            "run text recognition (OCR) on it, then add it again",
        )
    return {"title": title}, pages


def _pdf_pages(reader: PdfReader) -> list[Page]:
    labels = reader.page_labels
    text_of = PageReader()
    return [
        Page(text=text_of(page), number=number, label=label if label != str(number) else None)
        for number, (page, label) in enumerate(zip(reader.pages, labels, strict=True), start=1)
    ]


def stated_encoding(data: bytes) -> str:
    """Return the encoding that a web page says it has in its first 4,096 bytes, or nothing."""
    found = re.search(rb"(?i)<(?:meta|\?xml)[^>]*?(?:charset|encoding)\s*=\s*[\"']?\s*([\w-]{1,40})", data[:4096])
    named = found[1].decode("ascii", "replace").lower() if found else ""
    # Browsers read these as their larger relatives too (WHATWG Encoding Standard); "utf-16" in bytes one can read is untrue.
    return {"gb2312": "gb18030", "gbk": "gb18030", "iso-8859-1": "cp1252", "latin1": "cp1252", "us-ascii": "cp1252"}.get(
        named, "" if named.startswith(("utf", "idna", "punycode", "raw", "unicode")) else named
    )


def read_html(text: str, name: str) -> tuple[dict[str, Any], list[Page]]:
    """Return the readable part of a web page as Markdown, without menus and footers, with its title and address."""
    import trafilatura

    if not re.search(r"<[A-Za-z!]", text[:100_000]):
        raise not_really(name, "web page (HTML)")
    if _deepest(text) > _MAX_DEPTH:
        raise DocumentUnreadable(
            f"{name} has parts inside parts, more than {_MAX_DEPTH} deep", "no program shows such a page", "save its text alone"
        )
    try:
        body = trafilatura.extract(
            text, output_format="markdown", include_comments=False, include_links=False, prune_xpath=_NOT_READ
        )
        about = trafilatura.extract_metadata(text, date_config={"original_date": True, "extensive_search": False})
    except DAMAGE as error:
        raise damaged(name) from error
    if not body:
        raise DocumentUnreadable(
            f"{name} has no readable text", "a page of menus or pictures cannot be searched", "save the page with its article"
        )
    body = _ESCAPE.sub(r"\1", _EMPHASIS.sub(r"\2", body))
    fields = {"title": about.title, "url": about.url, "published": about.date, "licence": about.license}
    language = re.search(r"(?i)<html[^>]*\slang\s*=\s*[\"']?([a-z]{2,3})\b", text[:10_000])
    return {**fields, "language": language[1] if language else ""}, [Page(text=body)]


def _deepest(text: str) -> int:
    """Return about how deep the boxes of a page are nested; those that are closed anywhere are counted off."""
    depth = deepest = 0
    for found in re.finditer(
        r"(?i)<(/?)(?:div|span|table|tr|td|ul|ol|li|section|article|blockquote|font|b|i|em|strong)\b", text
    ):
        depth = max(0, depth - 1) if found[1] else depth + 1
        deepest = max(deepest, depth)
    return deepest


def chosen_title(title: str) -> str:
    """Return a title that somebody chose, or nothing."""
    title = " ".join(title.split())
    return "" if _MACHINE_TITLE.match(title) else title
