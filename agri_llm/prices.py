"""Whether a question asks what something costs, in eight languages, and whether a passage says it.

Prices change by the day, so no shipped sheet gives one; a table that somebody added may. Speaking of the crop is no answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import regex

from agri_llm import sentences
from agri_llm.content import folded
from agri_llm.questions import Understood
from agri_llm.records import Hit

_PRICE = regex.compile(
    folded(
        r"\bprices?\b|\bhow much (?:money|(?:does|do|will|would) .{1,40} (?:cost|sell for))\b|\bwhat (?:does|do) .{1,40} cost\b"
        r"|价格|价钱|多少钱|行情|市价|报价|售价"
        r"|\b(?:precios?|cuanto (?:cuesta|vale)n?|a como esta)\b|\b(?:prix|combien cout(?:e|ent)|combien vaut)\b"
        r"|\b(?:precos?|quanto custam?|cotacao)\b|कीमत|(?<![\p{L}\p{M}])(?:दाम|भाव)(?![\p{L}\p{M}])|\bbei\b"
        r"|(?<!\p{L})(?:ال|ب)?(?:سعر|اسعار|ثمن)"
    ),
    regex.IGNORECASE,
)
# In a passage: a word for a price, or money of some country.
_MONEY = regex.compile(
    r"[\p{Sc}]|\b(?:price[sd]?|usd|eur|cny|inr|kes|ngn|dollars?|euros?|rupees?|shillings?|naira|cedis?|pesos?|reais|yuan)\b"
    r"|价格|价钱|[市售单购]价|\d\s?元|\b(?:precios?|prix|precos?|preços?|bei)\b|कीमत|रुपय|سعر|ثمن",
    regex.IGNORECASE,
)
_DIGIT = regex.compile(r"\d")
READ = 12  # passages, as many as a writer reads


def price_unknown(question: Understood, hits: Sequence[Hit]) -> bool:
    """Whether a price is asked for and no sentence of the first passages has money and a number in it."""
    if question.intent not in ("amount", "explain", "when") or not _PRICE.search(folded(question.text)):
        return False
    return not any(
        _MONEY.search(span.text) and _DIGIT.search(span.text)
        for hit in hits[:READ]
        for span in sentences.split(hit.passage.text)
    )
