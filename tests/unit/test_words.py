"""Index words keep what farmers search for; word scores are BM25 as a share of what any passage could reach."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge_base.words import K1, STOP_WORDS, B, WordIndex, words

PASSAGES = [
    "Rust of wheat: orange pustules on leaves. Spray propiconazole 25% EC at 0.5 l/ha.",
    "Late blight of potato spreads in cool and wet weather; spray mancozeb 75% WP.",
    "Do not spray when it rains. No spray within 14 days of harvest.",
    "Weeds in maize: 2,4-D amine 720 g/l, at pH 6.5 of the water.",
    "Top-dress with NPK 15-15-15 three weeks after planting.",
]
text_of_words = st.lists(st.sampled_from("rust wheat blast rice spray 2,4-D 6.5 no EC leaf".split()), max_size=12).map(" ".join)


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
        ("稻瘟病防治", ["稻瘟", "瘟病", "病防", "防治"]),
        ("稻", ["稻"]),
        ("水稻，小麦。", ["水稻", "小麦"]),
        ("使用2,4-D除草剂", ["使用", "2,4-d", "2", "4", "d", "除草", "草剂"]),
        ("pH值6.5", ["ph", "值", "6.5", "6", "5"]),
        ("スプレー", ["スプ", "プレ", "レー"]),
    ],
)
def test_scripts_without_spaces_are_cut_into_pieces_of_two_but_codes_among_them_stay(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_hindi_words_stay_whole_with_their_vowel_signs() -> None:
    assert words("धान की फसल में कीट") == ["धान", "की", "फसल", "में", "कीट"]


def test_text_without_words_has_none() -> None:
    assert words("") == words(" … % — ?!") == []


@given(st.text())
def test_any_text_gives_words_that_are_lower_case_and_not_empty(text: str) -> None:
    found = words(text)
    assert all(found)
    assert found == words(text.lower())


def reference(query: str, texts: list[str]) -> list[float]:
    """BM25 as Robertson and Lucene write it, word by word, divided by the sum of the rarities."""
    bags = [words(text) for text in texts]
    average = sum(map(len, bags)) / len(bags)
    total, bound = [0.0] * len(texts), 0.0
    for word in words(query):
        having = sum(word in bag for bag in bags)
        rarity = math.log(1 + (len(bags) - having + 0.5) / (having + 0.5))
        bound += rarity
        for row, bag in enumerate(bags):
            often = bag.count(word)
            total[row] += rarity * often / (often + K1 * (1 - B + B * len(bag) / average))
    return [score / bound for score in total] if bound else total


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(text_of_words.filter(bool), min_size=1, max_size=8), query=text_of_words)
def test_scores_are_bm25_divided_by_its_bound_and_lie_between_0_and_1(texts: list[str], query: str) -> None:
    scores = WordIndex.build(texts).scores(query)
    assert scores.shape == (len(texts),)
    assert scores.dtype == np.float32
    assert ((scores >= 0) & (scores < 1)).all()
    np.testing.assert_allclose(scores, reference(query, texts), rtol=1e-4, atol=1e-6)


def test_scores_agree_with_the_library_on_real_passages() -> None:
    index = WordIndex.build(PASSAGES)
    library = bm25s.BM25(method="lucene", k1=K1, b=B)
    library.index([words(text) for text in PASSAGES], show_progress=False)
    query = "which rate of 2,4-D at pH 6.5 against weeds"
    known = [word for word in words(query) if word in library.vocab_dict]
    bound = sum(index.rarity(word) for word in words(query))
    np.testing.assert_allclose(index.scores(query), library.get_scores(known) / bound, rtol=1e-5)
    assert index.scores(query).argmax() == 3


def test_a_query_without_known_words_scores_zero_everywhere() -> None:
    index = WordIndex.build(PASSAGES)
    for query in ("tractor gearbox", "", "what is the", "稻瘟病"):
        assert index.scores(query).tolist() == [0.0] * len(PASSAGES)


def test_unknown_words_in_a_query_lower_its_scores() -> None:
    index = WordIndex.build(PASSAGES)
    assert 0 < index.scores("potato gearbox")[1] < index.scores("potato")[1]


def test_rarer_words_weigh_more_and_unknown_ones_most() -> None:
    index = WordIndex.build(PASSAGES)
    assert index.rarity("gearbox") > index.rarity("potato") > index.rarity("spray") > 0
    assert index.rarity("spray") == pytest.approx(math.log(1 + 2.5 / 3.5))


def test_a_passage_without_words_keeps_its_row() -> None:
    index = WordIndex.build(["rust", "…", "blast"])
    assert index.passages == 3
    assert (index.scores("blast") > 0).tolist() == [False, False, True]


def test_an_index_of_passages_without_any_word_can_be_searched() -> None:
    assert WordIndex.build(["…", "—"]).scores("rust").tolist() == [0.0, 0.0]


def test_a_saved_index_scores_the_same_when_opened_again(tmp_path: Path) -> None:
    index = WordIndex.build(PASSAGES)
    index.save(tmp_path)
    opened = WordIndex.open(tmp_path)
    assert opened.passages == index.passages
    for query in (*PASSAGES, "no spray", "gearbox", ""):
        assert opened.scores(query).tolist() == index.scores(query).tolist()


def test_a_saved_index_holds_plain_arrays_and_json_and_no_pickle(tmp_path: Path) -> None:
    WordIndex.build(PASSAGES).save(tmp_path)
    files = sorted(tmp_path.iterdir())
    assert {file.suffix for file in files} == {".npy", ".json"}
    for file in files:
        if file.suffix == ".npy":
            assert np.load(file, allow_pickle=False).dtype.kind in "if"
        else:
            json.loads(file.read_text(encoding="utf-8"))


def test_threads_cut_and_score_the_same_words() -> None:
    index = WordIndex.build(PASSAGES)
    queries = [f"{text} sprayings{number} harvesting" for number, text in enumerate(PASSAGES * 40)]
    alone = [index.scores(query).tolist() for query in queries]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda query: index.scores(query).tolist(), queries))
    assert together == alone
