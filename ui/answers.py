"""How an answer looks: while it is written, and when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from agri_llm import safety
from agri_llm.assistant import partial_answer
from agri_llm.records import Answer, Question, Sentence
from ui import citations, photo_panel
from ui.markup import answer_html
from ui.notes import about
from ui.words import word


def finished_html(answer: Answer) -> str:
    """Return a finished answer with its kind, its text, what to know about it, and its sources."""
    kind = _kind(answer)
    notes = "" if kind == "advice" else _line("kind", word(f"kind_{kind}"), sign=True)
    if answer.signed_by and answer.signed_until:
        signed = word("signed", name=answer.signed_by, date=answer.signed_until.date().isoformat())
        notes += _line("note", signed)
    notes += _text(answer)
    if not answer.complete:
        notes += _line("note", word("stopped" if answer.text else "stopped_early"))
    for note in about(answer):
        notes += _line("note", note)
    return f'<div class="agri-answer agri-{kind}">{notes}{citations.sources_html(photo_panel.with_signs(answer))}</div>'


def unfinished_html(question: Question, shown: Sequence[Sentence], step: str) -> str:
    """Return an answer on its way: the sentences so far and, while the page is at work, what is being done."""
    text = _text(partial_answer(question, list(shown))) if shown else ""
    doing = f'<p class="agri-step" role="status">{escape(word(f"step_{step}"))}</p>'
    return f'<div class="agri-answer agri-advice">{text}{doing}</div>'


def _line(name: str, words: str, sign: bool = False) -> str:
    before = '<span aria-hidden="true"></span>' if sign else ""
    return f'<p class="agri-{name}">{before}{escape(words)}</p>'


def _text(answer: Answer) -> str:
    return answer_html(answer.text, citations.targets(answer), word("mark"))


def _kind(answer: Answer) -> str:
    """Advice, clarification and refusal look different; an emergency is a refusal that must not look like one."""
    if answer.kind == "refusal" and safety.input_problem(answer.question.text) == "poisoning":
        return "emergency"
    return answer.kind
