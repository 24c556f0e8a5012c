"""What is seen on an unnamed plant is asked back, whoever says it; a question about plants in general is not."""

from __future__ import annotations

import pytest

from agri_llm.details import missing_details
from agri_llm.questions import understand
from agri_llm.records import Question
from knowledge_base.terms import Glossary


def missing(text: str, language: str | None = None) -> tuple[str, ...]:
    return missing_details(understand(Question(text=text, language=language), Glossary.load()))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("brown spots on leaves", "en"),
        ("white powder on the stems", "en"),
        ("叶子发黄", "zh"),
        ("叶片有小洞，用什么药", "zh"),
        ("hojas con manchas amarillas", "es"),
        ("feuilles jaunes, que faire", "fr"),
    ],
)
def test_a_sign_on_an_unnamed_plant_asks_for_the_crop_though_nobody_says_my(text: str, language: str) -> None:
    assert missing(text, language)[:1] == ("crop",)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("why do leaves get brown spots", "en"),
        ("为什么叶子发黄", "zh"),
        ("por qué se ponen amarillas las hojas", "es"),
        ("पत्तियां पीली क्यों होती हैं", "hi"),
        ("brown spots with rings on the older leaves after a week of rain", "en"),
        ("brown spots on potato leaves", "en"),
        ("yellow spots on teeth", "en"),
    ],
)
def test_a_general_question_a_long_one_and_one_with_a_crop_are_not_asked_back(text: str, language: str) -> None:
    assert missing(text, language) == ()


@pytest.mark.parametrize(
    ("text", "language", "asked"),
    [
        ("my beans are struggling", "en", ("sign", "part")),
        ("our maize is not looking so good", "en", ("sign", "part")),
        ("our trees are unwell", "en", ("crop", "sign")),
        ("نباتاتي مريضة", "ar", ("crop", "sign")),
    ],
)
def test_a_sick_plant_without_a_sign_is_asked_about_in_more_words(text: str, language: str, asked: tuple[str, ...]) -> None:
    assert missing(text, language) == asked


def test_what_was_cooked_is_no_plant() -> None:
    assert missing("我炒的菜不好吃", "zh") == ()
