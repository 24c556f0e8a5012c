"""Text to sentences, keeping every character's place, for English, Chinese and other languages with the usual marks."""

from __future__ import annotations

from dataclasses import dataclass

import regex

# After these a full stop does not end a sentence; single capitals ("H. armigera", "J. Smith") are handled by the pattern.
_SHORT = [
    "e.g",
    "i.e",
    "etc",
    "approx",
    "cf",
    "vs",
    "ca",
    "fig",
    "figs",
    "no",
    "nos",
    "vol",
    "dr",
    "mr",
    "mrs",
    "ms",
    "st",
    "sp",
    "spp",
    "var",
    "subsp",
    "cv",
    "et",
    "al",
    "inc",
    "ltd",
    "dept",
    "est",
    "eq",
    "ref",
    "temp",
    "max",
    "min",
    "avg",
    "gal",
    "lb",
    "lbs",
    "oz",
    "ft",
    "sq",
    "ac",
    "jan",
    "feb",
    "mar",
    "apr",
    "jun",
    "jul",
    "aug",
    "sep",
    "sept",
    "oct",
    "nov",
    "dec",
    "u.s",
    "a.m",
    "p.m",
]
_NOT_AFTER = r"(?<!(?:^|[\s(\[])\p{Lu})(?<!\b(?i:" + "|".join(map(regex.escape, _SHORT)) + r"))"
_END = regex.compile(
    _NOT_AFTER + r"""[.!?]["'”’)\]]*(?=\s+["'“‘(\[]?[\p{Lu}\p{N}•–-]|\s*$)"""  # Latin: then a capital, a number or the end
    r"""|[.!?]["'”’)]*(?=\s*\[\d{1,3}(?:\s*[,，]\s*\d{1,3})*\])"""  # or a citation mark
    r"""|[。！？][”’」』）]*"""
)
_MARKERS = regex.compile(r"(?:\s*\[\d{1,3}(?:\s*[,，]\s*\d{1,3})*\])*")
_MARK_BEGUN = regex.compile(r"\s*\[[\d,，\s]*$")
_BULLET = regex.compile(r"^\s*(?:[-*•–]|\d{1,2}[.)、])\s+|^\s*#{1,6}\s+|^\s*>\s+")


@dataclass(frozen=True)
class Span:
    """A sentence and where it stands: `text == source[start:end]`."""

    start: int
    end: int
    text: str


def split(text: str) -> list[Span]:
    """Return the sentences of a text, in order; line ends, bullets and headings also end one. Bullet marks are left out."""
    spans: list[Span] = []
    position = 0
    for paragraph in _units(text):
        spans.extend(_sentences(text, position + paragraph[0], position + paragraph[1]))
    return spans


def _units(text: str) -> list[tuple[int, int]]:
    """Split at blank lines, bullets and headings; hard-wrapped lines stay together."""
    units: list[tuple[int, int]] = []
    start = position = 0
    for line in text.splitlines(keepends=True):
        blank = not line.strip()
        if (blank or _BULLET.match(line) or line.lstrip().startswith("|")) and position > start:
            units.append((start, position))
            start = position
        position += len(line)
        if blank or line.lstrip().startswith(("#", "|")):
            units.append((start, position))
            start = position
    units.append((start, position))
    return [unit for unit in units if text[unit[0] : unit[1]].strip()]


def _sentences(text: str, start: int, end: int) -> list[Span]:
    bullet = _BULLET.match(text[start:end])
    begin = start + (bullet.end() if bullet else 0)
    spans = []
    for match in _END.finditer(text, begin, end):
        stop = _MARKERS.match(text, match.end(), end).end()
        spans.append(_span(text, begin, stop))
        begin = stop
    spans.append(_span(text, begin, end))
    return [span for span in spans if span.text]


def _span(text: str, start: int, end: int) -> Span:
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    piece = piece.strip()
    return Span(start, start + len(piece), piece)


def take_complete(buffer: str) -> tuple[list[str], str]:
    """Split off what is certainly complete in a text still being written: (complete sentences with bullets, the rest).

    A sentence counts as complete when something other than a citation mark has begun after it, or its line has ended.
    """
    done: list[str] = []
    while True:
        line_end = buffer.find("\n")
        line = buffer if line_end < 0 else buffer[:line_end]
        cut = _first_end(line)
        if cut is not None:
            done.append(line[:cut].strip())
            buffer = buffer[cut:]
        elif line_end >= 0:
            if line.strip():
                done.append(line.strip())
            buffer = buffer[line_end + 1 :]
        else:
            return done, buffer


def _first_end(line: str) -> int | None:
    bullet = _BULLET.match(line)
    for match in _END.finditer(line, bullet.end() if bullet else 0):
        end: int = _MARKERS.match(line, match.end()).end()
        rest = line[end:]
        if rest.strip() and not _MARK_BEGUN.match(rest):
            return end
    return None
