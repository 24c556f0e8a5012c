"""In which language a document is written, where it does not say so itself.

py3langid (BSD licence, BSD model inside the package, works offline) looks at groups of letters; it is loaded on first use.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

    from knowledge_base.documents import Document

# Languages in which advice for farmers is written. The model knows 142: of small neighbours of a large language it sees too
# many (Extremaduran for Spanish, Wu for Chinese) in short texts.
_LANGUAGES = """af am ar as az be bg bn bs ca cs da de el en es et fa fi fr gu ha he hi hr hu hy id ig it ja ka kk km kn ko ku
ky ln lo lt lv mg mk ml mn mr ms my ne nl no om or pa pl ps pt qu ro ru rw si sk sl sn so sq sr sv sw ta te tg th tl tr ug uk ur
uz vi xh yo zh zu""".split()
_UNCERTAIN = "en"  # a text of numbers and names alone: the language of the sheets
_LEAST_CONFIDENCE = 0.15  # sound titles of three words reach 0.2, numbers and Latin names 0.02 to 0.09
_PLAIN_CONFIDENCE = 0.95  # rows in the language of their table reach this for another one in 1 of 1,000 (FAO EcoCrop)
_FEWEST_LETTERS = 40  # a row with fewer is taken to be in the language of its file
_SAMPLE_ROWS = 200  # of a table: a language in 2 of 100 rows is found 98 times in 100
_LETTER = re.compile(r"[^\W\d_]")
_SAMPLE_CHARACTERS = 1000  # from the start and as many from the middle: covers and prefaces may be in another language


def language_of(text: str) -> str:
    """Return the language of a text as a two-letter code (ISO 639-1); "en" where the words do not tell."""
    language, confidence = _guess(text)
    return language if confidence >= _LEAST_CONFIDENCE else _UNCERTAIN


def with_languages(documents: Sequence[Document]) -> list[Document]:
    """Give a language to the documents of one file that state none.

    Rows of a table are short and full of names, so they take the language of the file as a whole; only where some of its
    rows are plainly in another one is each row looked at.
    """
    unknown = [document for document in documents if not document.language]
    if not unknown:
        return list(documents)
    rows = unknown[:: len(unknown) // _SAMPLE_ROWS + 1]
    whole = language_of("\n".join(_beginning(row)[: 2 * _SAMPLE_CHARACTERS] for row in rows))
    mixed = len(rows) > 1 and any(_own(row, whole) != whole for row in rows)
    return [
        document if document.language else replace(document, language=_own(document, whole) if mixed else whole)
        for document in documents
    ]


def _own(row: Document, whole: str) -> str:
    text = _beginning(row)
    language, confidence = (
        _guess(text) if len(_LETTER.findall(text, 0, _SAMPLE_CHARACTERS)) >= _FEWEST_LETTERS else (whole, 1.0)
    )
    return language if confidence >= _PLAIN_CONFIDENCE else whole


def _guess(text: str) -> tuple[str, float]:
    middle = max(len(text) // 2, _SAMPLE_CHARACTERS)
    sample = f"{text[:_SAMPLE_CHARACTERS]} {text[middle : middle + _SAMPLE_CHARACTERS]}"
    words = " ".join(re.sub(r"[\d_|#*:;.,()<>=+/-]+", " ", sample).split())
    language, confidence = _identifier().classify(words) if words else (_UNCERTAIN, 0.0)
    return str(language), float(confidence)


def _beginning(document: Document) -> str:
    return "\n".join(page.text for page in document.pages)[: 20 * _SAMPLE_CHARACTERS]


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([language for language in identifier.labels if language in _LANGUAGES])
    return identifier
