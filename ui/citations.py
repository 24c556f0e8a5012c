"""The sources below an answer: one row per document, and inside it each cited passage with the words relied on marked."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from urllib.parse import urlsplit

from agri_llm.records import Answer, Citation, Passage
from ui.words import word

AROUND = 220  # characters before and after a quote that help to judge it


def target(answer: Answer, number: int) -> str:
    """Return the id of the place on the page where a citation's words are marked."""
    return f"c-{answer.id}-{number}"


def targets(answer: Answer) -> dict[int, str]:
    """Return the place on the page of every citation of an answer, by number."""
    return {citation.number: target(answer, citation.number) for citation in answer.citations}


def sources_html(answer: Answer) -> str:
    """Return the sources of an answer as HTML that opens and closes by mouse and keyboard; empty without citations."""
    if not answer.citations:
        return ""
    by_document: dict[str, list[Citation]] = {}
    for citation in answer.citations:
        by_document.setdefault(citation.passage.document_id, []).append(citation)
    rows = "".join(_document(answer, citations) for citations in by_document.values())
    return f'<div class="agri-sources"><h4>{escape(word("sources"))}</h4>{rows}</div>'


def cited_html(answer: Answer, citation: Citation) -> str:
    """Return one citation for somebody who judges it: its source, its quote with what stands around it, then all of it."""
    passage = citation.passage
    start = max(0, passage.text.find(citation.quote))
    end = start + len(citation.quote) if citation.quote in passage.text else AROUND
    before, after = passage.text[max(0, start - AROUND) : start], passage.text[end : end + AROUND]
    if start > AROUND:
        before = "…" + before[before.find(" ") + 1 :]
    if end + AROUND < len(passage.text):
        after = after[: after.rfind(" ") + 1] + "…"
    number = f'<span class="agri-number">{citation.number}</span>'
    whole = (
        f"<details><summary>{escape(word('whole_passage'))}</summary>"
        f'<blockquote class="agri-passage">{escape(passage.text)}</blockquote>{_facts(passage)}</details>'
    )
    return (
        f'<div class="agri-cited agri-inside" id="{escape(target(answer, citation.number))}">'
        f'<p class="agri-cited-title">{number} <span class="agri-title">{escape(passage.title)}</span></p>{_where(passage)}'
        f'<blockquote class="agri-passage">{escape(before)}<mark>{escape(passage.text[start:end])}</mark>{escape(after)}'
        f"</blockquote>{whole}</div>"
    )


def _document(answer: Answer, citations: Sequence[Citation]) -> str:
    numbers = "".join(f'<span class="agri-number">{citation.number}</span>' for citation in citations)
    first = citations[0].passage
    passages = dict.fromkeys(citation.passage.id for citation in citations)
    texts = "".join(
        _passage(answer, [citation for citation in citations if citation.passage.id == passage_id]) for passage_id in passages
    )
    return (
        f'<details class="agri-source"><summary><span class="agri-title">{escape(first.title)}</span>{numbers}</summary>'
        f'<div class="agri-inside">{texts}{_facts(first)}</div></details>'
    )


def _passage(answer: Answer, citations: Sequence[Citation]) -> str:
    passage = citations[0].passage
    return f'{_where(passage)}<blockquote class="agri-passage">{marked_text(answer, citations)}</blockquote>'


def _where(passage: Passage) -> str:
    page = passage.page_label or (str(passage.page) if passage.page else "")
    where = " · ".join(
        part for part in (passage.heading.replace(" > ", " › "), word("page", page=page) if page else "") if part
    )
    return f'<p class="agri-where">{escape(where)}</p>' if where else ""


def marked_text(answer: Answer, citations: Sequence[Citation]) -> str:
    """Return the whole text of a passage as HTML with the quoted words of its citations marked."""
    text = citations[0].passage.text
    spans = sorted((text.find(c.quote), text.find(c.quote) + len(c.quote), c.number) for c in citations if c.quote in text)
    done, position = "", 0
    for start, end, number in spans:
        place = f'<span class="agri-place" id="{escape(target(answer, number))}"></span>'
        start = max(start, position)  # where two quotes overlap, the second goes on where the first ended
        marked = f"<mark>{escape(text[start:end])}</mark>" if end > start else ""
        done += escape(text[position:start]) + place + marked
        position = max(position, end)
    return done + escape(text[position:])


def _facts(passage: Passage) -> str:
    facts: list[tuple[str, str]] = []
    if passage.sources:
        facts.append(("based_on", "".join(f"<span>{escape(source)}</span>" for source in passage.sources)))
    if passage.region:
        facts.append(("region", escape(", ".join(_region(region) for region in passage.region))))
    if passage.published:
        facts.append(("reviewed", escape(passage.published)))
    if passage.licence:
        facts.append(("licence", escape(passage.licence)))
    if passage.url:
        facts.append(("address", _address(passage.url)))
    rows = "".join(f"<dt>{escape(word(f'fact_{name}'))}</dt><dd>{value}</dd>" for name, value in facts)
    return f'<dl class="agri-facts">{rows}</dl>' if rows else ""


def _region(region: str) -> str:
    return word("worldwide") if region == "world" else region


def _address(url: str) -> str:
    """A link only where it leads to a web page; anything else is shown as text."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return escape(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return escape(url)
    return f'<a href="{escape(url)}" target="_blank" rel="noopener noreferrer nofollow">{escape(url)}</a>'
