"""The text of a PDF page in the order in which people read it: column by column, and table rows with their column names.

A PDF says where each piece of text stands, not what belongs together. Most programs write the pieces in reading order, and
then the order of the file is kept. Two cases are put right, and only where they are plain to see: two columns of prose that
were written line by line across the page, and tables whose cells all start at the same places.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import TYPE_CHECKING, Any

from knowledge_base.tables import row_text

if TYPE_CHECKING:
    from pypdf import PageObject

_SAME_LINE_POINTS = 2.0
_SAME_START_POINTS = 3.0
_FEWEST_LINES = 6  # of two columns: fewer side by side are captions or addresses
_FEWEST_ROWS = 2  # of a table, below its header
_FEWEST_CELLS = 3  # two cells may as well be a name and what is said of it, with no header above them
_PROSE_CHARACTERS = 20  # lines of columns are longer on average, cells of tables shorter
_CELL_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some text and where it starts, in points from the lower left corner."""

    x: float
    y: float
    text: str


Line = list[_Piece]


class PageReader:
    """Reads the pages of one PDF in order; the columns of a table that goes on over the page end are remembered."""

    def __init__(self) -> None:
        self._starts: list[float] = []
        self._header: list[str] = []

    def __call__(self, page: PageObject) -> str:
        """Return the text of the next page."""
        pieces: list[_Piece] = []

        def collect(text: str, around: Sequence[float], matrix: Sequence[float], _font: Any, _size: float) -> None:
            if text.strip():
                x = matrix[4] * around[0] + matrix[5] * around[2] + around[4]
                y = matrix[4] * around[1] + matrix[5] * around[3] + around[5]
                pieces.append(_Piece(x, y, " ".join(text.split())))

        plain = page.extract_text(visitor_text=collect)
        lines = _lines(pieces)
        if _letters("".join(piece.text for piece in pieces)) != _letters(plain):
            lines = []  # not every piece has a place: the order of the file is all we know
        carried, self._starts, self._header = (self._starts, self._header), [], []
        return _columns(lines) or self._tables(lines, *carried) or plain

    def _tables(self, lines: Sequence[Line], starts: list[float], header: list[str]) -> str:
        """Return the page with its tables as "column: value" rows, or nothing where there is no table."""
        written: list[str] = []
        place = tables = 0
        while place < len(lines):
            end = place + 1
            while end < len(lines) and _aligned(lines[place], lines[end]):
                end += 1
            rows = [[piece.text for piece in line] for line in lines[place:end]]
            goes_on = bool(header) and not tables and _starts_alike(lines[place], starts)
            if goes_on or _is_table(rows):
                names = header if goes_on else rows[0]
                written += [row_text(names, cells) for cells in rows if cells != names]
                tables += 1
                if end > len(lines) - 2:  # at most a page number below it
                    self._starts, self._header = [piece.x for piece in lines[place]], names
            else:
                written += [" ".join(cells) for cells in rows]
            place = end
        return "\n".join(written) if tables else ""


def _lines(pieces: Sequence[_Piece]) -> list[Line]:
    """Join pieces that follow each other at one height."""
    lines: list[Line] = []
    for piece in pieces:
        if lines and abs(lines[-1][-1].y - piece.y) < _SAME_LINE_POINTS and piece.x > lines[-1][-1].x:
            lines[-1].append(piece)
        else:
            lines.append([piece])
    return lines


def _columns(lines: Sequence[Line]) -> str:
    """Return two columns of prose one after the other, or nothing where the page has no lines that run across both."""
    pairs = [line for line in lines if len(line) == 2]
    if len(pairs) < _FEWEST_LINES or len(pairs) * 2 < len(lines):
        return ""
    gutter = median(line[1].x for line in pairs) - _SAME_START_POINTS
    sides = [line for line in pairs if line[0].x < gutter - 100 and abs(line[1].x - gutter) < 5 * _SAME_START_POINTS]
    shortest = min(mean(len(line[side].text) for line in pairs) for side in (0, 1))
    if len(sides) * 5 < len(pairs) * 4 or shortest < _PROSE_CHARACTERS:
        return ""
    halves = ([[piece for piece in line if (piece.x < gutter) == left] for line in lines] for left in (True, False))
    return "\n".join(" ".join(piece.text for piece in line) for half in halves for line in half if line)


def _aligned(first: Line, other: Line) -> bool:
    return len(first) >= _FEWEST_CELLS and _starts_alike(other, [piece.x for piece in first])


def _starts_alike(line: Line, starts: Sequence[float]) -> bool:
    return len(line) == len(starts) and all(
        abs(piece.x - start) < _SAME_START_POINTS for piece, start in zip(line, starts, strict=True)
    )


def _is_table(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row names the columns: words above a column of numbers, all cells short."""
    header, body = rows[0], rows[1:]
    if len(body) < _FEWEST_ROWS or mean(len(cell) for row in rows for cell in row) > _CELL_CHARACTERS:
        return False
    named = all(re.search(r"[^\W\d_]", cell) for cell in header)
    return named and any(
        sum(bool(re.match(r"[\d.,<>≤≥~+-]*\d", row[column])) for row in body) * 2 > len(body)
        and not re.match(r"\d", header[column])
        for column in range(len(header))
    )


def _letters(text: str) -> int:
    return len(re.sub(r"\s", "", text))
