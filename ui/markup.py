"""Text to HTML that cannot do anything: words, paragraphs, lists, emphasis and citation marks, all else is shown as typed.

Answers, questions, titles and passages may hold anything a stranger wrote. Links, pictures, HTML and formulas are never
made from them: those rules of the parser are off and every character is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

_MARK = re.compile(r"\[(\d{1,3})\]")
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~:$^&=@/])")
_LINES = re.compile(r"\s*\n\s*")


def plain(text: str) -> str:
    """Return text that Streamlit's Markdown (labels, messages) shows exactly as typed, on one line."""
    return _SPECIAL.sub(r"\\\1", _LINES.sub(" ", text.strip()))


def question_html(text: str) -> str:
    """Return a question as people typed it, with its line breaks."""
    return f'<div class="agri-question">{escape(text)}</div>'


def answer_html(text: str, targets: Mapping[int, str], mark_label: str) -> str:
    """Return an answer as HTML; a mark [n] becomes a link to `targets[n]`, an id on the same page.

    `mark_label` is what a screen reader says for a mark, with {number} in it.
    """
    return str(_PARSER.render(text, {"targets": targets, "mark_label": mark_label}))


def _text(renderer: RendererHTML, tokens: list[Token], at: int, options: object, environment: Mapping[str, object]) -> str:
    targets: Mapping[int, str] = environment["targets"]  # type: ignore[assignment]
    label = str(environment["mark_label"])

    def link(found: re.Match[str]) -> str:
        number = int(found[1])
        if number not in targets:
            return found[0]
        said = escape(label.replace("{number}", str(number)))
        return f'<a class="agri-mark" href="#{escape(targets[number])}" aria-label="{said}">{number}</a>'

    return _MARK.sub(link, escape(tokens[at].content))


def _parser() -> MarkdownIt:
    parser = MarkdownIt("zero").enable(["list", "emphasis"])
    parser.add_render_rule("text", _text)
    return parser


_PARSER = _parser()
