"""Rows of data (CSV, JSON lines) → one searchable text per row."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from typing import Any, BinaryIO

from agri_llm.errors import DocumentUnreadable

MAX_LINE_BYTES = 10 * 1024 * 1024  # a row of text; a longer one is not a row

TITLE_COLUMNS = ("title", "name", "scientificname", "commonname", "id")
ID_COLUMNS = ("id", "code")
KEPT_COLUMNS = ("url", "licence", "license", "region", "regions", "crop", "crops", "published", "language")
_NOTHING = {"", "na", "n/a", "nan", "null", "none"}


def row_text(columns: Sequence[str], cells: Sequence[str]) -> str:
    """Return a row as "column: value; column: value." without its empty cells.

    "NA" counts as empty, except where it may be Namibia.
    """
    pairs = []
    for column, cell in zip_longest(columns, cells, fillvalue=""):
        value = " ".join(cell.split())
        namibia = value == "NA" and re.search(r"(?i)country|iso|region", column)
        if value and (namibia or value.casefold() not in _NOTHING):
            pairs.append(f"{column}: {value}" if column else value)
    text = "; ".join(pairs)
    return text if not text or text[-1] in ".!?" else text + "."


def csv_rows(text: str, name: str) -> Iterator[dict[str, str]]:
    """Yield each row as fields: `text`, and `title`, `key`, `url`, `region` and so on where a column of that name has them."""
    csv.field_size_limit(MAX_LINE_BYTES)  # the library's own limit is 131,072 characters: less than a chapter in a cell
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    try:
        columns = [" ".join(column.split()) for column in next(rows, [])]
        names = [re.sub(r"[\W_]", "", column.casefold()) for column in columns]
        for number, cells in enumerate(rows):
            if columns and columns[0] == "" and cells and cells[0] == str(number):
                cells[0] = ""  # a row number that a program wrote, not data
            row = row_text(columns, cells)
            if row:
                named = dict(zip(names, (" ".join(cell.split()) for cell in cells), strict=False))
                kept = {column: named[column] for column in KEPT_COLUMNS if named.get(column)}
                yield {**kept, "text": row, "title": _first(named, TITLE_COLUMNS), "key": _first(named, ID_COLUMNS)}
    except csv.Error as error:
        raise DocumentUnreadable(
            f"{name} breaks off at line {rows.line_num} ({error})",
            "the rows after it cannot be told apart",
            "save it again as CSV with UTF-8",
        ) from error


def _first(named: Mapping[str, str], columns: Sequence[str]) -> str:
    return next((named[column] for column in columns if named.get(column)), "")


def _delimiter(text: str) -> str:
    """Return the sign between the cells: the one that cuts most of the first 50 rows into as many cells as the first row.

    `csv.Sniffer` takes letters for delimiters where cells hold long texts.
    """
    head = text[:100_000]

    def score(sign: str) -> tuple[int, int]:
        try:
            widths = [len(row) for row in islice(csv.reader(io.StringIO(head, newline=""), delimiter=sign), 50) if row]
        except csv.Error:
            return 0, 0
        return (widths.count(widths[0]), widths[0]) if widths and widths[0] > 1 else (0, 0)

    return max(",;\t|", key=score)


def json_rows(stream: BinaryIO, name: str, limit: int) -> Iterator[dict[str, Any] | DocumentUnreadable]:
    """Yield the object on each line; a bad line is yielded as an error and the next one is read.

    `limit` is in bytes, over all lines together.
    """
    number = taken = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        taken += len(line)
        if len(line) > MAX_LINE_BYTES or taken > limit:
            yield DocumentUnreadable(
                f"{name} is too large at line {number}", "it would fill the memory", "split it into smaller files and lines"
            )
            return
        if line.strip():
            yield _json_row(line, f"{name}, line {number}")


def _json_row(line: bytes, where: str) -> dict[str, Any] | DocumentUnreadable:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return DocumentUnreadable(f"{where} is not JSON ({error})", "its passage is missing", "write one JSON object per line")
    if not isinstance(row, dict) or not isinstance(row.get("text"), str) or not row["text"].strip():
        return DocumentUnreadable(f"{where} has no text", "there is nothing to search in it", 'give it a field "text"')
    return row
