"""Plain text: its encoding, its line ends, its front matter, its pages; and what we say about a file that has none of it."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import Any

import yaml

from agri_llm.errors import DocumentUnreadable

MAX_UNPACKED_BYTES = 200 * 1024 * 1024  # of what a packed file (DOCX, JSON lines in gzip) unpacks to
# Of a text that is held in memory as a whole: about 8 million words, twenty times the largest handbook we know. Decoding,
# cutting and sending take up to ten times as much for a moment; larger files are data, and JSON lines are read row by row.
MAX_TEXT_BYTES = 50 * 1024 * 1024

_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?\n)??---[ \t]*(?:\n|\Z)", re.DOTALL)
# Encodings of office programs in the countries where farmers' advice is written, commonest first; more only confuse the guess.
_ENCODINGS = ["cp1252", "gb18030", "cp1251", "cp1250", "cp1256", "cp1254", "cp1253", "cp874", "big5", "cp932", "cp949"]
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\0\0": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_COMMON = re.compile(r"[ \n.,;，。、；]")
_CONTROLS = re.compile(r"[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f\ufffd]")
_HALVES = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class Page:
    """The text of one page. `number` is the physical page (1-based), `label` the printed one where it differs."""

    text: str
    number: int | None = None
    label: str | None = None


def front_matter(text: str, name: str) -> tuple[dict[str, Any], str]:
    """Part the fields between two `---` lines at the top from the text; a ruled line at the top is no front matter."""
    found = _FRONT_MATTER.match(text)
    if not found or not found[1]:
        return {}, text
    try:
        # BaseLoader leaves every value as written: "no" is Norwegian, "1.10" is not 1.1.
        fields = yaml.load(found[1], Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as error:
        line = f" in line {mark.line + 2}" if (mark := getattr(error, "problem_mark", None)) else ""
        raise DocumentUnreadable(
            f"the front matter of {name} is not YAML{line}", "its title and licence cannot be read", "correct that line"
        ) from error
    return (fields, text[found.end() :]) if isinstance(fields, dict) else ({}, text)


def text_pages(text: str) -> list[Page]:
    """Part a text at its form feeds, which programs that turn PDF into text write at the end of each page."""
    texts = text.split("\f")
    return [Page(text=text, number=number if len(texts) > 1 else None) for number, text in enumerate(texts, start=1)]


def decoded(data: bytes, name: str, form: str, *, stated: str = "") -> str:
    """Return the text of a file with equal line ends; `form` is what its name says it is, for the refusal.

    `stated` is the encoding that a file says it has; it is believed where the bytes are no UTF-8. Raises DocumentUnreadable
    for more than MAX_TEXT_BYTES and for what is no text.
    """
    if len(data) > MAX_TEXT_BYTES:
        raise too_large(name, MAX_TEXT_BYTES)
    text = plain_lines(_guessed(data, name, form, stated))
    if len(_CONTROLS.findall(text, 0, 100_000)) > min(len(text), 100_000) / 50:  # compressed or compiled, not written
        raise not_really(name, form)
    return text


def _guessed(data: bytes, name: str, form: str, stated: str) -> str:
    """Decode by the mark at the start, as UTF-8 if that works, as UTF-16 where every second byte is NUL, or by likelihood."""
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    if b"\0" in data:
        return _wide(data, name, form)
    for encoding in ("utf-8", stated):
        try:
            return data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    import charset_normalizer

    guesses = list(charset_normalizer.from_bytes(data, cp_isolation=_ENCODINGS))
    if not guesses:
        raise not_really(name, form)
    # Short texts fit several encodings equally well: then Western European, the commonest by far.
    equal = [guess for guess in guesses if (guess.chaos, guess.coherence) == (guesses[0].chaos, guesses[0].coherence)]
    return str(next((guess for guess in equal if guess.encoding == "cp1252"), guesses[0]))


def _wide(data: bytes, name: str, form: str) -> str:
    """Decode UTF-16 without a mark; of the two byte orders the one with more spaces, line ends and full stops is right."""
    texts = []
    for encoding in ("utf-16-le", "utf-16-be"):
        with contextlib.suppress(UnicodeDecodeError):
            texts.append(data.decode(encoding))
    best = max(texts, key=lambda text: len(_COMMON.findall(text)), default="\0")
    if "\0" in best or len(_COMMON.findall(best)) * 50 < len(best):  # in no script is that fewer than every fiftieth sign
        raise not_really(name, form)
    return best


def plain_lines(text: str) -> str:
    """Make all line ends equal and drop what no database stores: NUL and halves of character pairs."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        text = text.replace("\0", "")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if _HALVES.search(text) else text


def empty(name: str) -> DocumentUnreadable:
    """Say that a file has nothing in it."""
    return DocumentUnreadable(f"{name} is empty", "there is nothing to search in it", "leave it out or get a complete copy")


def damaged(name: str) -> DocumentUnreadable:
    """Say that a file is broken."""
    return DocumentUnreadable(
        f"{name} is damaged", "its text cannot be read completely", "open it in a program that repairs it, or get a new copy"
    )


def not_really(name: str, form: str) -> DocumentUnreadable:
    """Say that a file's name promises another format than it has."""
    return DocumentUnreadable(
        f"{name} is not a {form}, whatever its name says", "it cannot be read", "give it the ending of its real format"
    )


def too_large(name: str, limit: int) -> DocumentUnreadable:
    """Say that a file is larger than we read; `limit` is in bytes."""
    return DocumentUnreadable(
        f"{name} holds more than {limit // 1024 // 1024} MB", "it would fill the memory", "split it into smaller files"
    )
