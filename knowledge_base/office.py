"""Word files (DOCX) → their text as Markdown: what a reader sees after all changes were accepted.

Read are paragraphs, lists, tables, text boxes, content controls, footnotes and endnotes (after the paragraph that points to
them). Left out are headers and footers, which repeat on every page, comments, and text that somebody deleted. Macros and
embedded files are never opened; entities and addresses in the XML are not followed.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from agri_llm.errors import DocumentUnreadable
from knowledge_base.layouts import DAMAGE, chosen_title
from knowledge_base.tables import row_text
from knowledge_base.texts import MAX_TEXT_BYTES, MAX_UNPACKED_BYTES, Page, damaged, not_really, too_large

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"  # a second copy for old programs
_BOX = f"{_W}txbxContent"
_GONE = {f"{_W}del", f"{_W}moveFrom", _FALLBACK}
_WRITTEN = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
_NOTES = {f"{_W}footnoteReference": "footnote", f"{_W}endnoteReference": "endnote"}

Element = Any  # of lxml, which comes without types
Notes = Mapping[tuple[str, str], str]  # kind and number → text


def read_docx(data: bytes, name: str) -> tuple[dict[str, Any], list[Page]]:
    """Return the title and the text of a Word file, headings as Markdown, table rows as "column: value" lines."""
    from docx import Document as WordDocument
    from docx.opc.exceptions import OpcError

    _check_archive(data, name)
    try:
        word = WordDocument(io.BytesIO(data))
        styles = {style.style_id: str(style.name or "") for style in word.styles}
        lines = list(_lines(word.element.body, styles, _notes(word)))
        title = chosen_title(word.core_properties.title or "")
    except (OpcError, *DAMAGE) as error:
        raise damaged(name) from error
    return {"title": title}, [Page(text="\n".join(lines))]


def _check_archive(data: bytes, name: str) -> None:
    """Raise DocumentUnreadable for what is no Word file, protected, or unpacks to more than the memory should hold."""
    if data.startswith(b"\xd0\xcf\x11\xe0"):  # the container of old Office files; a DOCX with a password is wrapped in one
        raise DocumentUnreadable(
            f"{name} is an old or protected Word file", "its text cannot be read", "save it as DOCX without a password"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except zipfile.BadZipFile as error:
        raise (damaged(name) if data.startswith(b"PK") else not_really(name, "Word document (DOCX)")) from error
    except DAMAGE as error:
        raise damaged(name) from error
    if "word/document.xml" not in {entry.filename for entry in entries}:
        raise not_really(name, "Word document (DOCX)")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
        raise too_large(name, MAX_UNPACKED_BYTES)
    if any(entry.file_size > MAX_TEXT_BYTES for entry in entries if entry.filename.endswith((".xml", ".rels"))):
        raise too_large(name, MAX_TEXT_BYTES)


def _notes(word: Any) -> Notes:
    from docx.oxml.parser import parse_xml

    notes = {}
    for relation in word.part.rels.values():
        kind = relation.reltype.rpartition("/")[2].rstrip("s")
        if kind in _NOTES.values() and not relation.is_external:
            for note in parse_xml(relation.target_part.blob).iter(f"{_W}{kind}"):
                text = " ".join(" ".join(_text(paragraph) for paragraph in note.iter(f"{_W}p")).split())
                notes[kind, note.get(f"{_W}id", "")] = text
    return notes


def _lines(parent: Element, styles: Mapping[str, str], notes: Notes) -> Iterator[str]:
    """Yield the lines of everything that stands in a body, a text box or a content control, in order."""
    for child in parent:
        if child.tag == f"{_W}p":
            yield from _paragraph(child, styles, notes)
        elif child.tag == f"{_W}tbl":
            yield from _table(child)
        elif child.tag not in _GONE and isinstance(child.tag, str) and child.tag != f"{_W}sectPr":
            yield from _lines(child, styles, notes)


def _paragraph(paragraph: Element, styles: Mapping[str, str], notes: Notes) -> Iterator[str]:
    text = _text(paragraph).strip()
    marked = paragraph.find(f"{_W}pPr/{_W}pStyle")
    style = "" if marked is None else styles.get(marked.get(f"{_W}val", ""), "")
    heading = re.fullmatch(r"(?i)heading ([1-6])", style)
    if text and (heading or style == "Title"):
        yield f"\n{'#' * int(heading[1] if heading else 1)} {' '.join(text.split())}\n"
    elif text and (style.startswith("List") or paragraph.find(f"{_W}pPr/{_W}numPr") is not None):
        yield f"- {text}"
    elif text:
        yield f"\n{text}\n"
    for box in _found(paragraph, {_BOX}):
        yield from _lines(box, styles, notes)
    for mark in _found(paragraph, set(_NOTES)):
        note = notes.get((_NOTES[str(mark.tag)], mark.get(f"{_W}id", "")))
        if note:
            yield f"\nNote: {note}\n"


def _text(element: Element) -> str:
    """Return the words of a paragraph as they stand after all changes, without those of text boxes in it."""
    return "".join(_WRITTEN.get(str(found.tag)) or found.text or "" for found in _found(element, {f"{_W}t", *_WRITTEN}))


def _found(element: Element, tags: set[str]) -> Iterator[Element]:
    """Yield elements below another in order, leaving out what is gone and what stands in text boxes of its own."""
    waiting = list(reversed(element))
    while waiting:
        child = waiting.pop()
        if child.tag in tags:
            yield child
        elif child.tag not in _GONE and child.tag not in (_BOX, f"{_W}pPr"):
            waiting.extend(reversed(child))


def _table(table: Element) -> Iterator[str]:
    """Write each row with the column names of the first one, so that no amount is parted from what it is an amount of."""
    rows: list[list[str]] = []
    for row in _found(table, {f"{_W}tr"}):
        above = rows[-1] if rows else []
        cells = enumerate(_cells(row))
        rows.append([above[place] if goes_on and place < len(above) else text for place, (text, goes_on) in cells])
    yield ""
    if len(rows) == 1:
        yield row_text([""] * len(rows[0]), rows[0])
    for cells_below in rows[1:]:
        yield row_text(rows[0], cells_below)
    yield ""


def _cells(row: Element) -> Iterator[tuple[str, bool]]:
    """Yield each cell's text and whether the row above goes on in it; one over several columns leaves the others empty."""
    for cell in _found(row, {f"{_W}tc"}):
        paragraphs = (" ".join(_text(paragraph).split()) for paragraph in _found(cell, {f"{_W}p"}))
        merge = cell.find(f"{_W}tcPr/{_W}vMerge")
        yield " ".join(text for text in paragraphs if text), merge is not None and merge.get(f"{_W}val") != "restart"
        span = cell.find(f"{_W}tcPr/{_W}gridSpan")
        width = span.get(f"{_W}val", "1") if span is not None else "1"
        yield from [("", False)] * (min(int(width), 100) - 1 if width.isdigit() else 0)
