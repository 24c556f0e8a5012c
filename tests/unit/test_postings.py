"""Word scores are BM25 as a share of what any passage could reach, over all segments of an index."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge_base.postings import K1, B, Mask, Postings, Scores, WordSearch
from knowledge_base.words import words

PASSAGES = [
    "Rust of wheat: orange pustules on leaves. Spray propiconazole 25% EC at 0.5 l/ha.",
    "Late blight of potato spreads in cool and wet weather; spray mancozeb 75% WP.",
    "Do not spray when it rains. No spray within 14 days of harvest.",
    "Weeds in maize: 2,4-D amine 720 g/l, at pH 6.5 of the water.",
    "Top-dress with NPK 15-15-15 three weeks after planting.",
]
text_of_words = st.lists(st.sampled_from("rust wheat blast rice spray 2,4-D 6.5 no EC leaf".split()), max_size=12).map(" ".join)
text_of_words_lists = st.lists(text_of_words.filter(bool), min_size=1, max_size=8)


def postings(texts: Sequence[str]) -> Postings:
    return Postings.build(words(text) for text in texts)


def whole(texts: Sequence[str]) -> WordSearch:
    return WordSearch([(postings(texts), np.zeros(0, dtype=np.int64))])


def scores(search: WordSearch, query: str, segment: int = 0, rows: int = len(PASSAGES)) -> Scores:
    return search.at(segment, search.terms(words(query)), np.arange(rows))


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
@given(texts=text_of_words_lists, query=text_of_words)
def test_scores_are_bm25_divided_by_its_bound_and_lie_between_0_and_1(texts: list[str], query: str) -> None:
    found = scores(whole(texts), query, rows=len(texts))
    assert found.shape == (len(texts),)
    assert found.dtype == np.float32
    assert ((found >= 0) & (found < 1)).all()
    np.testing.assert_allclose(found, reference(query, texts), rtol=1e-4, atol=1e-6)


def test_scores_agree_with_the_library_on_real_passages() -> None:
    index = whole(PASSAGES)
    library = bm25s.BM25(method="lucene", k1=K1, b=B)
    library.index([words(text) for text in PASSAGES], show_progress=False)
    query = "which rate of 2,4-D at pH 6.5 against weeds"
    known = [word for word in words(query) if word in library.vocab_dict]
    bound = sum(index.rarity(word) for word in words(query))
    np.testing.assert_allclose(scores(index, query), library.get_scores(known) / bound, rtol=1e-5)
    assert scores(index, query).argmax() == 3


def test_a_query_without_known_words_scores_zero_everywhere() -> None:
    index = whole(PASSAGES)
    for query in ("tractor gearbox", "", "what is the", "稻瘟病"):
        assert scores(index, query).tolist() == [0.0] * len(PASSAGES)


def test_unknown_words_in_a_query_lower_its_scores() -> None:
    index = whole(PASSAGES)
    assert 0 < scores(index, "potato gearbox")[1] < scores(index, "potato")[1]


def test_rarer_words_weigh_more_and_unknown_ones_most() -> None:
    index = whole(PASSAGES)
    assert index.rarity("gearbox") > index.rarity("potato") > index.rarity("spray") > 0
    assert index.rarity("spray") == pytest.approx(math.log(1 + 2.5 / 3.5))


def test_a_passage_without_words_keeps_its_row() -> None:
    index = whole(["rust", "…", "blast"])
    assert index.passages == 3
    assert (scores(index, "blast", rows=3) > 0).tolist() == [False, False, True]


def test_passages_without_any_word_can_be_searched_also_from_disk(tmp_path: Path) -> None:
    empty = postings(["…", "—"])
    empty.save(tmp_path)
    for part in (empty, Postings.open(tmp_path)):
        search = WordSearch([(part, np.zeros(0, dtype=np.int64))])
        assert search.at(0, search.terms(["rust"]), np.arange(2)).tolist() == [0.0, 0.0]
        assert len(search.best(0, search.terms(["rust"]), 5, None)[0]) == 0


@settings(max_examples=200, deadline=None)
@given(
    texts=st.lists(text_of_words, min_size=1, max_size=40),
    query=text_of_words,
    k=st.integers(1, 12),
    masked=st.lists(st.booleans(), min_size=40, max_size=40),
    filtered=st.booleans(),
)
def test_the_best_are_those_that_scoring_every_passage_finds(
    texts: list[str], query: str, k: int, masked: list[bool], filtered: bool
) -> None:
    search = whole(texts)
    allowed: Mask | None = np.array(masked[: len(texts)]) if filtered else None
    every = scores(search, query, rows=len(texts))
    if allowed is not None:
        every = np.where(allowed, every, 0)
    rows, found = search.best(0, search.terms(words(query)), k, allowed)
    expected = np.sort(every[every > 0])[::-1][:k]
    np.testing.assert_allclose(np.sort(found)[::-1][:k], expected, rtol=1e-5)
    np.testing.assert_allclose(found, every[rows], rtol=1e-5)
    assert (np.diff(rows) > 0).all()


def test_common_words_are_looked_up_only_for_what_rare_words_found() -> None:
    common = [f"rust leaf number{row}" for row in range(3000)]
    search = whole([*common, "rust leaf gearbox", "gearbox"])
    rows, found = search.best(0, search.terms(["rust", "leaf", "gearbox"]), 2, None)
    assert rows.tolist() == [3000, 3001]
    np.testing.assert_allclose(found, search.at(0, search.terms(["rust", "leaf", "gearbox"]), rows), rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(one=text_of_words_lists, other=text_of_words_lists, query=text_of_words, gone=st.sets(st.integers(0, 7), max_size=6))
def test_segments_and_deleted_passages_score_as_if_all_had_been_indexed_at_once(
    one: list[str], other: list[str], query: str, gone: set[int]
) -> None:
    kept = np.array([row not in gone for row in range(len(one))])
    deleted = np.flatnonzero(~kept)
    parts = WordSearch([(postings(one), deleted), (postings(other), np.zeros(0, dtype=np.int64))])
    left = [text for text, stays in zip(one, kept, strict=True) if stays]
    at_once = scores(whole([*left, *other]), query, rows=len(left) + len(other))
    terms = parts.terms(words(query))
    in_parts = [*parts.at(0, terms, np.flatnonzero(kept)), *parts.at(1, terms, np.arange(len(other)))]
    np.testing.assert_allclose(in_parts, at_once, rtol=1e-4, atol=1e-6)

    joined = Postings.joined([(postings(one), kept), (postings(other), np.ones(len(other), dtype=bool))])
    search = WordSearch([(joined, np.zeros(0, dtype=np.int64))])
    np.testing.assert_allclose(search.at(0, search.terms(words(query)), np.arange(len(at_once))), at_once, rtol=1e-4, atol=1e-6)


def test_saved_postings_score_the_same_when_opened_again(tmp_path: Path) -> None:
    postings(PASSAGES).save(tmp_path)
    opened = WordSearch([(Postings.open(tmp_path), np.zeros(0, dtype=np.int64))])
    for query in (*PASSAGES, "no spray", "gearbox", ""):
        assert scores(opened, query).tolist() == scores(whole(PASSAGES), query).tolist()


def test_saved_postings_are_plain_arrays_and_json_and_no_pickle(tmp_path: Path) -> None:
    postings(PASSAGES).save(tmp_path)
    files = sorted(tmp_path.iterdir())
    assert {file.suffix for file in files} == {".npy", ".json"}
    for file in files:
        if file.suffix == ".npy":
            assert np.load(file, allow_pickle=False).dtype.kind in "iu"
        else:
            json.loads(file.read_text(encoding="utf-8"))


def test_threads_score_the_same() -> None:
    index = whole(PASSAGES)
    queries = [f"{text} sprayings{number} harvesting" for number, text in enumerate(PASSAGES * 40)]
    alone = [scores(index, query).tolist() for query in queries]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda query: scores(index, query).tolist(), queries)) == alone
