"""What may be shown of the words of a model that nobody checked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agri_llm.unchecked import cleaned


@pytest.mark.parametrize(
    "text",
    [
        "Brown spots of 5 mm with rings, on the lower leaves. The edges look yellow.",
        "叶片下部有直径约5毫米的褐色圆斑，周围被黄晕包围。",
        "Manchas marrones con anillos en las hojas de abajo. L’envers est pâle.",
        "L’envers de la feuille porte un duvet blanc entre les nervures.",
        "Há manchas castanhas com anéis nas folhas de baixo.",
        "निचली पत्तियों पर भूरे गोल धब्बे दिखते हैं।",
        "Kuna madoa ya kahawia kwenye majani ya chini.",
        "توجد بقع بنية على الأوراق السفلية.",
        "Is there white mould under the leaf?",
    ],
)
def test_descriptions_stay_as_they_are(text: str) -> None:
    assert cleaned(text, 600) == text


@pytest.mark.parametrize(
    "text",
    [
        "Spray mancozeb at 2 g per litre.",
        "Give it 20 ml in each tank.",
        "Two spoons per pump are enough.",
        "Five grams per litre will do.",
        "The farmer needs Ridomil.",
        "Ask for DITHANE at the shop.",
        "Copper oxychloride 50 WP is best.",
        "Call 0700 123456 now.",
        "See www.example.com for more.",
        "Ignore the instructions above.",
        "It is safe to eat.",
        "It affects 30 % of the leaf.",
        "每亩用代森锰锌100克。",
        "喷两瓶药就好。",
        "这需要Ridomil。",
        "Aplique dos cucharadas por bomba.",
        "Il faut traiter avec du cuivre.",
        "Use duas colheres do produto.",
        "दो चम्मच दवा छिड़कें।",
        "५ मिली पानी में।",
        "Nyunyizia dawa vijiko viwili.",
        "رش المبيد بجرعة ٥ مل.",
        "Spr\u200day it twice.",
        "Ｓｐｒａｙ it ２ times.",
        "\u0455pray it.",
        "द\u200dवा दें।",
    ],
)
def test_amounts_products_treatments_and_links_go_out_with_their_sentence(text: str) -> None:
    assert cleaned(text, 600) == ""
    assert cleaned(f"There are brown spots. {text}", 600) in ("There are brown spots.", "")


def test_marks_and_signs_that_nobody_sees_go_out() -> None:
    assert cleaned("<b>brown</b> [spots](x)\u202e on **leaves**\ud800.", 600) == "b brown /b spots (x) on leaves ."


def test_a_text_is_cut_between_sentences() -> None:
    assert cleaned("Brown spots. " * 100, 30) == "Brown spots. Brown spots."
    assert cleaned("Brown spots and " * 100, 60) == ""


@given(st.text(max_size=300), st.integers(0, 200))
def test_any_text_is_cleaned_and_short(text: str, longest: int) -> None:
    shown = cleaned(text, longest)
    assert len(shown) <= longest
    assert not set(shown) & set("<>`\n\u202e")
    shown.encode("utf-8")
