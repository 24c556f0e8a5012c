"""A price is never made up of what a sheet says about the crop; a table that gives one answers."""

from __future__ import annotations

import pytest

from agri_llm.prices import price_unknown
from agri_llm.questions import understand
from agri_llm.records import Hit, Passage, Question
from knowledge_base.terms import Glossary

ASKED = {
    "en": ["how much does a bag of urea cost", "maize price this week"],
    "zh": ["玉米现在多少钱一斤", "今年大豆行情"],
    "es": ["¿cuánto cuesta un saco de urea?", "precio del café"],
    "fr": ["combien coûte un sac d'urée ?", "prix du maïs"],
    "pt": ["quanto custa a saca de soja?", "preço do milho"],
    "hi": ["टमाटर का भाव कितना है", "यूरिया की कीमत कितनी है"],
    "sw": ["bei ya mahindi ni ngapi"],
    "ar": ["كم سعر الذرة", "ما ثمن الأسمدة"],
}
OTHER = {
    "en": ["how much yield do weeds cost in maize", "how much urea for maize", "how do I get a good price for my cocoa"],
    "hi": ["बादाम को कितना पानी चाहिए", "यूरिया का प्रभाव कितने दिन रहता है"],
    "zh": ["玉米缺什么元素"],
}


def hits(text: str) -> list[Hit]:
    return [Hit(passage=Passage(id="1", document_id="d", title="Maize", text=text), score=1.0)]


def unknown(language: str, text: str, passage: str) -> bool:
    return price_unknown(understand(Question(text=text, language=language), Glossary.load()), hits(passage))


@pytest.mark.parametrize(("language", "text"), [(language, text) for language, texts in ASKED.items() for text in texts])
def test_a_price_is_unknown_where_no_sentence_has_money_and_a_number(language: str, text: str) -> None:
    assert unknown(language, text, "Maize needs 500 to 800 mm of water. Mouldy grain brings a low price.")
    assert unknown(language, text, "玉米需要 16 种元素。")
    assert not unknown(language, text, "Maize, white: price 320 per tonne.")
    assert not unknown(language, text, "玉米每公斤 2.4 元。")


@pytest.mark.parametrize(("language", "text"), [(language, text) for language, texts in OTHER.items() for text in texts])
def test_a_word_that_only_looks_like_a_price_refuses_nothing(language: str, text: str) -> None:
    assert not unknown(language, text, "Maize needs 500 to 800 mm of water.")
