"""Index words keep what farmers search for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge_base.words import STOP_WORDS, words

PASSAGES = [
    "Rust of wheat: orange pustules on leaves. Spray propiconazole 25% EC at 0.5 l/ha.",
    "Late blight of potato spreads in cool and wet weather; spray mancozeb 75% WP.",
    "Do not spray when it rains. No spray within 14 days of harvest.",
    "Weeds in maize: 2,4-D amine 720 g/l, at pH 6.5 of the water.",
    "Top-dress with NPK 15-15-15 three weeks after planting.",
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2,4-D", ["2,4-d", "2", "4", "d"]),
        ("75% EC", ["75", "ec"]),
        ("NPK 15-15-15", ["npk", "15-15-15", "15", "15", "15"]),
        ("pH 6.5", ["ph", "6.5", "6", "5"]),
        ("H. armigera", ["h", "armigera"]),
        ("0.5 l/ha", ["0.5", "0", "5", "l/ha", "l", "ha"]),
        ("K and P", ["k", "p"]),
    ],
)
def test_codes_numbers_and_single_letters_are_kept_whole_and_in_parts(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_forms_of_an_english_word_are_one_index_word() -> None:
    assert len({*words("spray"), *words("sprays"), *words("Sprayed"), *words("SPRAYING")}) == 1


def test_no_and_not_are_kept_for_they_turn_advice_round() -> None:
    assert words("Do not spray, there is no rust") == ["not", "spray", "no", "rust"]
    assert "don't" in words("Don’t spray") == words("don't spray")


def test_words_that_carry_no_meaning_are_dropped() -> None:
    assert words("What is the best of these?") == ["best"]
    assert not {"no", "not", "nor", "without", "never", "before", "after"} & STOP_WORDS


def test_the_s_of_a_possessive_is_no_word() -> None:
    assert words("the farmer's field") == words("the farmer’s field") == ["farmer's", "farmer", "field"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("稻瘟病防治", ["瘟病", "稻瘟病", "防治", "稻瘟", "瘟病", "病防", "防治"]),
        ("稻", ["稻"]),
        ("稻瘟病怎么治？", ["瘟病", "稻瘟病", "稻瘟", "瘟病", "治"]),
        ("使用2,4-D除草剂", ["使用", "使用", "2,4-d", "2", "4", "d", "除草", "除草剂", "除草", "草剂"]),
        ("pH值6.5", ["ph", "值", "6.5", "6", "5"]),
        ("スプレー", ["スプ", "プレ", "レー"]),
    ],
)
def test_scripts_without_spaces_give_dictionary_words_and_pairs_but_codes_among_them_stay(
    text: str, expected: list[str]
) -> None:
    assert words(text, "zh") == expected


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("es", "controlar los gusanos del maíz", "control gusano maiz"),
        ("fr", "traiter les maladies de la pomme de terre", "traitement maladie pommes terre"),
        ("pt", "pulverização das folhas", "pulverizacoes folha"),
        ("hi", "टमाटर की पत्तियों में", "टमाटर पत्ती"),
        ("ar", "أوراق الطماطم", "اوراق طماطم"),
        ("sw", "majani ya mahindi", "majani mahindi"),
    ],
)
def test_forms_of_a_word_are_one_word_in_their_own_language(language: str, one: str, other: str) -> None:
    assert set(words(one, language)) & set(words(other, language))
    assert len(words(one, language)) == len(words(other, language))


@pytest.mark.parametrize("language", ["en", "es", "fr", "pt", "hi", "sw", "ar", "zh", "tlh"])
@pytest.mark.parametrize("code", ["2,4-d", "15-15-15", "6.5", "h", "75", "ec", "wg", "npk"])
def test_codes_numbers_and_names_are_the_same_in_every_language(language: str, code: str) -> None:
    assert words(code, language)[0] == code
    assert code in words("2,4-D NPK 15-15-15 pH 6.5 H. armigera 75% EC WG", language)


def test_hindi_words_stay_whole_with_their_vowel_signs() -> None:
    assert words("धान की फसल में कीट") == ["धान", "की", "फसल", "में", "कीट"]


def test_text_without_words_has_none() -> None:
    assert words("") == words(" … % — ?!") == []


@given(st.text())
def test_any_text_gives_words_that_are_lower_case_and_not_empty(text: str) -> None:
    found = words(text)
    assert all(found)
    assert found == words(text.lower())


def test_threads_cut_the_same_words() -> None:
    texts = [f"{text} sprayings{number} harvesting" for number, text in enumerate(PASSAGES * 40)]
    alone = [words(text) for text in texts]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(words, texts)) == alone
