"""How answers and hits look in a terminal, and as the JSON that other programs read."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from ui.notes import about

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agri_llm.records import Answer, Citation, Hit
    from ui.commands.indexing import ListedDocument


def one_line(value: object) -> str:
    """Return JSON on one line, with all letters as they are."""
    return json.dumps(value, ensure_ascii=False)


def counted(number: int, noun: str) -> str:
    """Return "1 document" or "2 documents"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def answer_json(answer: Answer) -> dict[str, Any]:
    """Return the answer as `agri ask --json` prints it; `note` says what to know of its sources (language, region)."""
    return {**answer.to_json(), "prompt_hash": answer.prompt_hash, "note": " ".join(about(answer))}


def answer_text(answer: Answer) -> str:
    """Return the answer, then its sources: a document with its origin, and below it the words that each number rests on."""
    if not answer.citations:
        return answer.text
    cited: dict[str, list[Citation]] = {}
    for citation in answer.citations:
        cited.setdefault(citation.passage.document_id, []).append(citation)
    notes = about(answer)
    return "\n".join([*notes, *([""] if notes else []), answer.text, "", "Sources", *map(_source, cited.values())])


def hits_json(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """Return hits, best first, as `agri search --json` prints them."""
    return [
        {
            "passage_id": hit.passage.id,
            "document_id": hit.passage.document_id,
            "title": hit.passage.title,
            "page": hit.passage.page,
            "score": round(hit.score, 6),
            "text": hit.passage.text,
        }
        for hit in hits
    ]


def hits_text(hits: Sequence[Hit]) -> str:
    """Return hits, best first, each with its score, where it stands and its text."""
    return "\n\n".join(
        f"{number}. {hit.score:.3f}  {_place(hit.passage.title, hit.passage.heading, hit.passage.page)}"
        f"  ({hit.passage.id})\n{_indented(hit.passage.text)}"
        for number, hit in enumerate(hits, start=1)
    )


def documents_json(documents: Sequence[ListedDocument]) -> str:
    """Return one JSON object a line for each document of an index."""
    return "\n".join(one_line(asdict(document)) for document in documents)


def documents_text(documents: Sequence[ListedDocument]) -> str:
    """Return a table of the documents of an index."""
    rows = [
        [each.id, each.title, ", ".join(each.crops), ", ".join(each.topics), each.language, str(each.passages)]
        for each in documents
    ]
    return columns([["ID", "TITLE", "CROPS", "TOPICS", "LANGUAGE", "PASSAGES"], *rows])


def counts_text(by: str, counts: Sequence[tuple[str, int]]) -> str:
    """Return a table of how many documents there are of each kind."""
    return columns([[by.upper(), "DOCUMENTS"], *([name, str(count)] for name, count in counts)])


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as lines whose columns stand below each other; nothing is cut off or wrapped."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _source(citations: Sequence[Citation]) -> str:
    """Return one document and the citations that rest on it."""
    document = citations[0].passage
    whence = [*document.sources, *([document.url] if document.url else [])]
    lines = [document.title, *map(_indented, whence)]
    for citation in citations:
        place = _place("", citation.passage.heading, citation.passage.page)
        lines.append(f"[{citation.number}] {place}{': ' if place else ''}“{' '.join(citation.quote.split())}”")
    return "\n".join(lines)


def _place(title: str, heading: str, page: int | None) -> str:
    return ", ".join(part for part in (title, heading, f"page {page}" if page else "") if part)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.strip().splitlines())
