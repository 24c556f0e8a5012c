"""Documents → passages of about 200 tokens with stable ids; near-duplicates removed.

A passage is a part of its page word for word, under one heading path and on one page. The only words we add are the header
of a table that goes on in the next passage.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from agri_llm.records import Passage
from knowledge_base.documents import Document
from knowledge_base.duplicates import without_duplicates

Span = tuple[int, int]  # start and end of a piece of the page's text, in characters

_WORDS_PER_TOKEN = 0.75  # English prose with word-piece tokenizers: 200 tokens are about 150 words
_CHARACTERS_PER_TOKEN = 1.4  # Chinese, Japanese, Thai, with multilingual tokenizers
_LONGEST_ROW = 1.5  # a row of a table stays whole up to this many times the size

# Scripts written without spaces: Thai, Lao, Burmese, Khmer, kana, Han.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*)")
_FENCE = re.compile(r" {0,3}(```|~~~)")
_ITEM = re.compile(r"\s*(?:[-*+•‣▪●◦–]|\(?\d{1,3}[.)]|\(?[A-Za-z][.)]|\([ivx]+\))\s")
_NUMBERED_TITLE = re.compile(r"\s*\d+(?:\.\d+)+\.?\s+[A-Z][^.!?]{2,90}\s*")  # "618.1 Responsibilities" in a plain text
_LETTERED = re.compile(r"[A-Z]\.\s")  # "B. Surface Layer Phases"
_MARKUP_ONLY = re.compile(r"\s*(?:<(?:!--|/?[a-z])[^>]*>\s*)+|\s*\{:[^}]*\}\s*")  # "<!-- image -->", "</div>", "{: .note}"
_TABLE_RULE = re.compile(r"(?=[^-]*--)[|:\-\s]+")

# A sentence ends at .!?… before a space, or at 。！？; not after an abbreviation, an initial or the number of a list item.
_SENTENCE_END = re.compile(r"(?<![.!?…।؟።])[.!?…।؟።]+[\"'”’)\]]*(?=\s)|[。！？]+[”’」』）]*")
_SPACE = re.compile(r"\s*")
_NO_END = re.compile(
    r"(?:\b(?:e\.g|i\.e|cf|vs|ca|approx|resp|incl|max|min|no|nr|vol|eds?|pp?|figs?|eqs?|spp?|ssp|subsp|var|cv|al"
    r"|st|dr|mr|mrs|ms|prof|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|inc|co|u\.s)|\b[A-Z]|(?:^|\n)\s*\(?(?:\d{1,3}|[A-Za-z]))\.$",
    re.IGNORECASE,
)
# Where a sentence that is too long is cut, best place first.
_SEAMS = (re.compile(r"\n"), re.compile(r";(?=\s)|；"), re.compile(r",(?=\s)|[，、]"), re.compile(r"\s"))


@dataclass(frozen=True, slots=True)
class _Atom:
    """What is never cut: a sentence, a list item, a table row. `header` goes before it where it begins a passage."""

    start: int
    end: int
    words: float
    header: str = ""


Block = list[_Atom]  # what is kept together where it fits: a paragraph, a list with its introduction, a table


def cut(document: Document, *, words: int = 150) -> list[Passage]:
    """Cut a document into passages of about `words` English words; unchanged text keeps its id whatever else changes."""
    passages: list[Passage] = []
    used: dict[str, int] = {}
    headings: list[tuple[int, str]] = []
    for page in document.pages:
        for heading, text in _texts(document, page.text, headings, words):
            own = f"{document.id}#{hashlib.sha256(text.encode()).hexdigest()[:8]}"
            used[own] = used.get(own, 0) + 1
            passages.append(
                Passage(
                    id=own if used[own] == 1 else f"{own}-{used[own]}",
                    document_id=document.id,
                    title=document.title,
                    text=text,
                    heading=heading,
                    page=page.number,
                    page_label=page.label,
                    url=document.url,
                    licence=document.licence,
                    region=document.region,
                    crop=document.crop,
                    topic=document.topic,
                    language=document.language,
                    published=document.published,
                    sources=document.sources,
                    twin_of=document.twin_of,
                )
            )
    return passages


def cut_all(documents: Iterable[Document], *, words: int = 150) -> list[Passage]:
    """Cut documents into passages, the first of several equal or nearly equal ones kept."""
    return without_duplicates(passage for document in documents for passage in cut(document, words=words))


def measure(text: str) -> float:
    """Return the size of a text in English words; scripts without spaces count by the tokens they become."""
    unspaced = len(_UNSPACED.findall(text))
    spaced = _UNSPACED.sub(" ", text) if unspaced else text
    # A "word" of 40 letters (an address, a row of dots) is several tokens.
    return sum(1 + len(word) // 20 for word in spaced.split()) + unspaced * _WORDS_PER_TOKEN / _CHARACTERS_PER_TOKEN


def _texts(document: Document, text: str, headings: list[tuple[int, str]], size: int) -> Iterator[tuple[str, str]]:
    """Yield the heading path and the text of each passage of a page; `headings` goes on from page to page."""
    if document.kind == "row" and measure(text) <= size * _LONGEST_ROW:
        yield "", text.strip()
        return
    for lines in _sections(text, headings, marked=document.kind == "markdown"):
        blocks = _blocks(text, lines, size)
        if not any(letter.isalpha() for block in blocks for letter in text[block[0].start : block[-1].end]):
            continue  # a page number or a ruled line alone says nothing
        path = [title for _, title in headings]
        if path[:1] == [document.title]:
            del path[0]
        for piece in _packed(blocks, size):
            words = (piece[0].header + text[piece[0].start : piece[-1].end]).strip()
            if any(letter.isalnum() for letter in words):
                yield " > ".join(path), words


def _sections(text: str, headings: list[tuple[int, str]], *, marked: bool) -> Iterator[list[Span]]:
    """Yield the lines between two headings; `headings` then holds the path above them. Unmarked texts are one section."""
    lines: list[Span] = []
    fence = ""
    for start, end in _spans(text, 0, len(text), re.compile(r"\n")):
        line = text[start:end].rstrip("\n")
        mark = _FENCE.match(line)
        if mark and fence in ("", mark[1]):
            fence = "" if fence else mark[1]
        heading = _HEADING.fullmatch(line) if marked and not fence else None
        if heading is None:
            lines.append((start, end))
            continue
        yield lines
        lines = []
        while headings and headings[-1][0] >= len(heading[1]):
            headings.pop()
        headings.append((len(heading[1]), " ".join(heading[2].rstrip("# \t").strip("*_ ").split())))
    yield lines


def _blocks(text: str, lines: Sequence[Span], size: int) -> list[Block]:
    """Part lines into paragraphs, lists, tables and code, and join to each what introduces it."""
    blocks: list[Block] = []
    for kind, group in _groups(text, lines):
        start, end = group[0][0], group[-1][1]
        if kind == "table":
            block = _table(text, group)
        elif kind in ("list", "code"):
            block = [atom for span in group for atom in _atoms(text, [span], size)]
        else:
            block = _atoms(text, _sentences(text, start, end), size)
        within = False
        for atom in block:
            last = blocks[-1][-1] if blocks else None
            if last and _introduces(text, last) and last.words <= size / 3:
                blocks[-1][-1] = _Atom(last.start, atom.end, last.words + atom.words, last.header)
            elif within:
                blocks[-1].append(atom)
            else:
                blocks.append([atom])
            within = True
    return blocks


def _groups(text: str, lines: Sequence[Span]) -> Iterator[tuple[str, list[Span]]]:
    """Yield lines that belong together with their kind: "text", "list" (one span per item), "table" or "code"."""
    kind, group, fence = "", list[Span](), ""
    for position, (start, end) in enumerate(lines):
        line = text[start:end]
        mark = _FENCE.match(line)
        if fence:
            group.append((start, end))
            fence = "" if mark and mark[1] == fence else fence
            continue
        following = text[slice(*lines[position + 1])] if position + 1 < len(lines) else ""
        now = _kind(line, following, kind)
        if group and (now != kind or now in ("code", "title")):
            yield kind, group
            group = []
        kind, fence = now, mark[1] if mark else ""
        if now == "list" and group and not _ITEM.match(line):
            group[-1] = (group[-1][0], end)
        elif now:
            group.append((start, end))
    if group:
        yield kind, group


def _kind(line: str, following: str, before: str) -> str:
    """Return what a line is, given the line after it and the kind of the line before it; "" for one without words."""
    if not line.strip() or _MARKUP_ONLY.fullmatch(line):
        return ""
    if _FENCE.match(line):
        return "code"
    if "|" in line and (before == "table" or _TABLE_RULE.fullmatch(following)) and following.strip() != "---":
        return "table"
    if _NUMBERED_TITLE.fullmatch(line):
        return "title"
    return "list" if _ITEM.match(line) or before == "list" else "text"


def _table(text: str, lines: Sequence[Span]) -> Block:
    """Return the rows of a table; the first one holds the header, which every later one carries along."""
    first = lines[:3]
    header = text[lines[0][0] : lines[1][1]] if len(lines) > 1 else ""
    rows = [_Atom(first[0][0], first[-1][1], measure(text[first[0][0] : first[-1][1]]))]
    return rows + [_Atom(start, end, measure(text[start:end]), header) for start, end in lines[3:]]


def _introduces(text: str, atom: _Atom) -> bool:
    """Return whether a piece means nothing without the next one: it ends with a colon, or it is a title in a plain text."""
    said = text[atom.start : atom.end].strip()
    if said.endswith((":", "：")) or _NUMBERED_TITLE.fullmatch(said):
        return True
    if not _LETTERED.match(said) or said[-1] in ".;,!?" or "\n" in said:
        return False
    words = [word for word in said.split()[1:] if len(word) > 3]
    return len(words) <= 12 and all(word[0].isupper() for word in words)


def _sentences(text: str, start: int, end: int) -> list[Span]:
    """Return the sentences of a paragraph, each with the space after it."""
    spans = []
    for found in _SENTENCE_END.finditer(text, start, end):
        after = _SPACE.match(text, found.end(), end)
        stop = after.end() if after else found.end()
        if text[stop : stop + 1].islower() or (
            found[0] == "." and _NO_END.search(text, max(start, found.end() - 12), found.end())
        ):
            continue
        spans.append((start, stop))
        start = stop
    return spans if start >= end else [*spans, (start, end)]


def _atoms(text: str, spans: Iterable[Span], size: int) -> Block:
    """Return spans as atoms; one that alone is larger than a passage is cut at the best places it has."""
    return [
        _Atom(start, end, measure(text[start:end]))
        for span in spans
        for start, end in ([span] if measure(text[slice(*span)]) <= size else _cut_long(text, _sentences(text, *span), size))
    ]


def _cut_long(text: str, spans: Sequence[Span], size: int, seams: Sequence[re.Pattern[str]] = _SEAMS) -> Iterator[Span]:
    for start, end in spans:
        if measure(text[start:end]) <= size:
            yield start, end
        elif seams:
            yield from _cut_long(text, _spans(text, start, end, seams[0]), size, seams[1:])
        else:
            step = int(size * _CHARACTERS_PER_TOKEN / _WORDS_PER_TOKEN) or 1
            yield from ((cut, min(cut + step, end)) for cut in range(start, end, step))


def _spans(text: str, start: int, end: int, seam: re.Pattern[str]) -> list[Span]:
    """Cut after each seam; the seams stay at the ends of the pieces."""
    cuts = [start, *(found.end() for found in seam.finditer(text, start, end)), end]
    return [(left, right) for left, right in pairwise(cuts) if left < right]


def _packed(blocks: Iterable[Block], size: int) -> list[Block]:
    """Fill passages with blocks in order; a block larger than a passage is dealt out atom by atom."""
    tiny = min(25, size / 4)  # words; less than this is joined to its neighbour, even where that then is a little too long
    pieces: list[Block] = []
    held = 0.0
    for block in blocks:
        whole = sum(atom.words for atom in block) <= size
        for group in [block] if whole else [[atom] for atom in block]:
            new = sum(atom.words for atom in group)
            if pieces and held + new <= (size if held >= tiny else size + tiny):
                pieces[-1] = pieces[-1] + group
                held += new
            else:
                pieces.append(group)
                held = new + measure(group[0].header)
    if len(pieces) > 1 and held < tiny:
        last = pieces.pop()
        pieces[-1] = pieces[-1] + last
    return pieces
