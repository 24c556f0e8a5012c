"""The panel above an answer: what photos seem to show, how sure that is, what else it could be and how to tell.

Every sign is a sentence of a shipped sheet, word for word, and a source of the answer like those of its text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape

from agri_llm import photo_questions, questions
from agri_llm.phrases import phrase
from agri_llm.records import BACKGROUND, Answer, Citation, Diagnosis
from knowledge_base import look_alikes, photo_labels
from knowledge_base.look_alikes import Sign
from ui import citations
from ui.markup import answer_html
from ui.words import word

LEAST_SHARE = 0.03  # of an alternative that is worth naming
MOST = 3  # look-alikes shown: as many as a diagnosis has
LIKELY = 0.5  # calibrated: from here on a diagnosis is right more often than wrong
HIGHEST = 0.99  # a hypothesis is never shown as 100 %
AGAIN = ("near", "light", "sides", "healthy")


@dataclass(frozen=True, kw_only=True)
class LookAlike:
    """What else it could be; `share` is None where only the sheet names it, `sign` where no sheet tells them apart."""

    label: str
    share: float | None
    sign: Sign | None


def html(answer: Answer) -> str:
    """Return the panel of an answer as HTML; empty where no photo was looked at or the answer itself says what is wrong."""
    found = answer.diagnosis
    if found is None:
        return ""
    language = _language(answer)
    useless = photo_questions.problem(found)
    if useless:
        said = phrase(language, useless)
        return "" if answer.text == said else _framed(f"<p>{escape(said)}</p>")
    lines = [_said(found, language), _looks(answer, found, language)]
    if found.affected_area_percent and found.affected_area_percent >= 1:
        lines.append(f"<p>{escape(phrase(language, 'photo_area', share=f'{found.affected_area_percent:.0f}'))}</p>")
    lines.append(_others(answer, found, language))
    if not found.certain:
        steps = "".join(f"<li>{escape(phrase(language, f'photo_again_{step}'))}</li>" for step in AGAIN)
        lines.append(f'<p class="agri-again">{escape(phrase(language, "photo_again"))}</p><ul>{steps}</ul>')
    return _framed("".join(lines))


def with_signs(answer: Answer) -> Answer:
    """Return an answer with the sentences of its panel among its citations, numbered on from its own."""
    found = answer.diagnosis
    if found is None or photo_questions.problem(found):
        return answer
    language, last = _language(answer), max((each.number for each in answer.citations), default=0)
    cited = {citation.quote: citation for citation in answer.citations}
    signs = [look_alikes.typical(found.label, language), *(each.sign for each in _look_alikes(found, language))]
    for sign in signs:
        if sign is not None and sign.sentence not in cited:
            last += 1
            cited[sign.sentence] = Citation(number=last, passage=sign.passage, quote=sign.sentence)
    return replace(answer, citations=(*answer.citations, *(each for each in cited.values() if each not in answer.citations)))


def confidence(found: Diagnosis, language: str) -> str:
    """Return how sure a diagnosis is, in words and as a number."""
    band = "sure" if found.certain else "probable" if found.confidence >= LIKELY else "guess"
    return phrase(language, f"photo_{band}", share=f"{min(found.confidence, HIGHEST):.0%}")


def _language(answer: Answer) -> str:
    return questions.language_of(answer.question.text, answer.question.language)


def _framed(inside: str) -> str:
    return f'<div class="agri-diagnosis" dir="auto">{inside}</div>'


def _said(found: Diagnosis, language: str) -> str:
    said = escape(phrase(language, "photo_looks" if found.certain else "photo_unsure"))
    name = f"<strong>{escape(photo_labels.name_of(found.label, language))}</strong>"
    sure = f"<strong>{escape(confidence(found, language))}</strong>"
    return f'<p class="agri-seen">{said.replace("{label}", name).replace("{sure}", sure)}</p>'


def _looks(answer: Answer, found: Diagnosis, language: str) -> str:
    """Return how the diagnosed label looks, unless the answer below says it."""
    sign = look_alikes.typical(found.label, language)
    if sign is None or any(sign.sentence == citation.quote for citation in answer.citations):
        return ""
    return _quoted(answer, sign, language)


def _others(answer: Answer, found: Diagnosis, language: str) -> str:
    rows = [
        f'<li><span class="agri-name">{escape(photo_labels.name_of(each.label, language))}</span>'
        f"{'' if each.share is None else f' <span>{each.share:.0%}</span>'}"
        f"{'' if each.sign is None else _quoted(answer, each.sign, language)}</li>"
        for each in _look_alikes(found, language)
    ]
    if not rows:
        return ""
    state = "" if found.certain else " open"
    return f"<details{state}><summary>{escape(phrase(language, 'photo_apart'))}</summary><ul>{''.join(rows)}</ul></details>"


def _look_alikes(found: Diagnosis, language: str) -> list[LookAlike]:
    """Return what else the photos could show: what the model considers, then what the sheet says is easily mistaken for it."""
    shares = {label: share for label, share in found.alternatives if share >= LEAST_SHARE and label != BACKGROUND}
    named = [label for label in look_alikes.likely(found.label, language) if label not in shares]
    return [
        LookAlike(label=label, share=shares.get(label), sign=look_alikes.apart(found.label, label, language))
        for label in [*shares, *named][:MOST]
    ]


def _quoted(answer: Answer, sign: Sign, language: str) -> str:
    """Return a sentence of a sheet with its mark, and its language where that is not the reader's."""
    whole = with_signs(answer)
    number = next(each.number for each in whole.citations if each.quote == sign.sentence)
    tongue = sign.passage.language
    foreign = "" if tongue == language else f" ({phrase(language, f'in_{tongue}')})"
    text = answer_html(f"{sign.sentence}{foreign}[{number}]", citations.targets(whole), word("mark"))
    return f'<div class="agri-sign" lang="{escape(tongue)}" dir="auto">{text}</div>'
