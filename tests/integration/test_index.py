"""An index is built, searched by words and by meaning, filtered, added to and reduced, with the real parts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agri_llm.errors import BadInput, IndexMismatch, IndexMissing, KnowledgeError
from agri_llm.records import Hit, Passage
from agri_llm.sentences import split
from knowledge_base import builder, shipped
from knowledge_base import folder as index_folder
from knowledge_base.embedding import Embedder, Vectors
from knowledge_base.index import MEANING_WEIGHT, SENTENCE_SHARE, KnowledgeBase, View, load_view
from knowledge_base.terms import Glossary
from knowledge_base.words import words


def passage(document: str, text: str, number: int = 1, **details: Any) -> Passage:
    details.setdefault("title", document.replace("-", " ").capitalize())
    return Passage(id=f"{document}#{number}", document_id=document, text=text, **details)


BATCHED = 1e-3  # what a vector may differ by where the network computes in bfloat16 and other texts are in its batch
PASSAGES = (
    passage("fall-armyworm", "Larvae chew the whorl leaves of maize after dark.\nLook for fresh frass.", crop=("maize",)),
    passage("coragen-label", "Coragen 18.5 SC: 60 ml/ha in 500 l of water.", crop=("maize", "rice"), region=("india",)),
    passage("ampligo-label", "Ampligo 150 ZC: 200 ml/ha in 500 l of water.", crop=("maize",), region=("kenya", "uganda")),
    passage("late-blight", "Dark wet spots spread on leaves in cool rain. Destroy the tops before harvest.", crop=("potato",)),
    passage("wheat-rust", "Orange pustules break the leaf. Sow resistant varieties.", crop=("wheat",), region=("world",)),
    passage("npk", "Top-dress with NPK 15-15-15 three weeks after planting.", crop=("any",), region=("nigeria",)),
    passage("soil-test", "Take soil from twenty places of the field and mix it well. Send half a kilogram to the laboratory."),
    passage("weeds", "Apply 2,4-D amine 720 g/l to small weeds. Do not spray near cotton.", crop=("wheat", "maize")),
    passage("weevil", "Dry the grain to 13% before storing it.\n\n- Use airtight bags.\n- Clean the store.", crop=("maize",)),
    passage("dhan", "धान की फसल में तना छेदक कीट से बचाव करें।", crop=("rice",), region=("india",), language="hi"),
    passage("shuidao", "稻瘟病在低温多雨时发生严重。使用三环唑防治。", crop=("rice",), region=("china",), language="zh"),
    passage("goats", "Give goats clean water every day. Trim the hooves twice a year.", region=("kenya",)),
)
QUERIES = (
    "caterpillars eat my corn at night",
    "Coragen dose per hectare",
    "2,4-D",
    "धान में कीट",
    "稻瘟病怎么防治",
    "qwxyz vbnmk",
    "how much NPK 15-15-15",
)


class CountingEmbedder(Embedder):
    """The embedded model, which remembers what it was given; `meanwhile` runs in the middle of its work."""

    def __init__(self, loaded: Embedder, meanwhile: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.__dict__["_model"] = loaded._model
        self.meanwhile = meanwhile
        self.seen: list[str] = []

    def pieces(self, texts: Sequence[str], progress: builder.Progress | None = None) -> Vectors:
        self.seen.extend(texts)
        self.meanwhile()
        return super().pieces(texts, progress)


@pytest.fixture(scope="module")
def base(embedder: Embedder, tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    folder = tmp_path_factory.mktemp("index")
    builder.build(folder, PASSAGES, embedder)
    return KnowledgeBase(folder, embedder)


@pytest.fixture
def index(embedder: Embedder, tmp_path: Path) -> Path:
    """A small index that a test may change."""
    builder.build(tmp_path / "index", PASSAGES[:4], embedder)
    return tmp_path / "index"


def found(hits: Sequence[Hit]) -> list[str]:
    return [hit.passage.document_id for hit in hits]


def documents(folder: Path, embedder: Embedder) -> set[str]:
    return {passage.document_id for passage in load_view(folder, embedder).passages}


@pytest.mark.parametrize(
    ("query", "document"),
    [
        ("Coragen dose", "coragen-label"),
        ("AMPLIGO 150 ZC", "ampligo-label"),
        ("2,4-D amine", "weeds"),
        ("15-15-15", "npk"),
        ("तना छेदक", "dhan"),
        ("三环唑", "shuidao"),
    ],
)
def test_product_names_and_codes_are_found_by_their_words(base: KnowledgeBase, query: str, document: str) -> None:
    best = base.search(query)[0]
    assert best.passage.document_id == document
    assert best.words > 0


@pytest.mark.parametrize(
    ("query", "document"),
    [
        ("caterpillars eat my corn at night", "fall-armyworm"),
        ("insects in my barn spoil stored cereals", "weevil"),
        ("caring for livestock", "goats"),
    ],
)
def test_paraphrases_without_a_common_word_are_found_by_meaning(base: KnowledgeBase, query: str, document: str) -> None:
    (target,) = (passage for passage in PASSAGES if passage.document_id == document)
    assert not set(words(query)) & set(words(f"{target.title} {target.text}")) - {"store"}
    assert found(base.search(query))[0] == document


def test_a_hit_carries_the_passage_word_for_word_and_both_halves_of_its_score(base: KnowledgeBase) -> None:
    for query in QUERIES:
        for hit in base.search(query):
            assert hit.passage in PASSAGES
            assert 0 < hit.score <= 1
            assert 0 <= hit.words < 1
            assert 0 <= hit.meaning <= 1 + 1e-6
            assert hit.score == pytest.approx(MEANING_WEIGHT * hit.meaning + (1 - MEANING_WEIGHT) * hit.words, abs=1e-6)


def test_a_hit_has_the_cosine_of_every_sentence_of_its_passage(base: KnowledgeBase, embedder: Embedder) -> None:
    query = "when do I destroy potato tops"
    (vector,) = embedder.questions([query])
    for hit in base.search(query, len(PASSAGES)):
        sentences = [span.text for span in split(hit.passage.text)]
        np.testing.assert_allclose(hit.sentences, embedder.pieces(sentences) @ vector, atol=2e-3)
        (window,) = embedder.pieces([f"{hit.passage.title}. {hit.passage.text}"])
        meaning = SENTENCE_SHARE * max(0, *hit.sentences) + (1 - SENTENCE_SHARE) * max(0, window @ vector)
        assert hit.meaning == pytest.approx(meaning, abs=BATCHED)


def test_the_weight_of_meaning_goes_from_words_alone_to_meaning_alone(base: KnowledgeBase, embedder: Embedder) -> None:
    by_words = KnowledgeBase(base.folder, embedder, meaning_weight=0).search("Coragen dose")
    assert found(by_words) == ["coragen-label"]  # what shares no word is not returned
    assert by_words[0].score == by_words[0].words
    by_meaning = KnowledgeBase(base.folder, embedder, meaning_weight=1).search("caterpillars eat my corn at night")
    assert by_meaning[0].score == by_meaning[0].meaning


def test_hits_come_best_first_and_the_same_every_time(base: KnowledgeBase) -> None:
    for query in QUERIES:
        hits = base.search(query)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert hits == base.search(query)


def test_many_queries_at_once_give_what_each_gives_alone(base: KnowledgeBase) -> None:
    together = base.search_all([*QUERIES, ""], 5, crop="maize")
    alone = [base.search(query, 5, crop="maize") for query in [*QUERIES, ""]]
    assert [found(hits) for hits in together] == [found(hits) for hits in alone]
    for left, right in zip(together, alone, strict=True):
        assert [hit.score for hit in left] == pytest.approx([hit.score for hit in right], abs=BATCHED)
    assert base.search_all([]) == []


def test_asking_for_more_than_there_is_gives_each_passage_at_most_once(base: KnowledgeBase) -> None:
    hits = base.search("spray leaves of maize in the field", 10_000)
    assert len(hits) <= len(PASSAGES)
    assert len(set(found(hits))) == len(hits) > 6
    assert base.search("spray leaves of maize in the field", 3) == hits[:3]


def test_less_than_one_passage_cannot_be_asked_for(base: KnowledgeBase) -> None:
    with pytest.raises(BadInput, match="k is 0"):
        base.search("rust", 0)


@pytest.mark.parametrize("query", ["", " \n\t"])
def test_an_empty_query_finds_nothing(base: KnowledgeBase, query: str) -> None:
    assert base.search(query) == []


@pytest.mark.parametrize("query", ["qwxyz vbnmk", "what is it about?", "?!"])
def test_a_query_without_a_known_word_gets_no_points_for_words(base: KnowledgeBase, query: str) -> None:
    assert {hit.words for hit in base.search(query)} <= {0.0}


def passes(passage: Passage, crop: Collection[str], region: str | None, language: str | None) -> bool:
    """The filter as a person would apply it, one passage after the other."""
    right_crop = not crop or not passage.crop or "any" in passage.crop or any(name in passage.crop for name in crop)
    right_region = region is None or passage.region == () or "world" in passage.region or region in passage.region
    return right_crop and right_region and language in (None, passage.language)


@settings(max_examples=60, deadline=None)
@given(
    query=st.sampled_from(QUERIES),
    k=st.integers(1, 15),
    crop=st.lists(st.sampled_from(["maize", "rice", "wheat", "potato", "okra", "any"]), max_size=3),
    region=st.sampled_from([None, "india", "kenya", "china", "peru"]),
    language=st.sampled_from([None, "en"]),  # others read the words of the query by their own rules
)
def test_a_filter_gives_what_is_left_of_the_whole_list(
    base: KnowledgeBase, query: str, k: int, crop: list[str], region: str | None, language: str | None
) -> None:
    every = base.search(query, len(PASSAGES))
    expected = [hit for hit in every if passes(hit.passage, crop, region, language)][:k]
    hits = base.search(query, k, crop=crop, region=region, language=language)
    assert found(hits) == found(expected)
    for name in ("score", "words", "meaning", "sentences"):
        for hit, other in zip(hits, expected, strict=True):
            assert getattr(hit, name) == pytest.approx(getattr(other, name), abs=1e-6)
    if len(crop) == 1:
        assert hits == base.search(query, k, crop=crop[0], region=region, language=language)


def test_passages_for_any_crop_and_without_a_crop_pass_every_crop_filter(base: KnowledgeBase) -> None:
    hits = found(base.search("field soil planting water", 20, crop="okra"))
    assert {"npk", "soil-test"} <= set(hits) <= {"npk", "soil-test", "goats"}


def test_a_filter_that_lets_nothing_through_finds_nothing(base: KnowledgeBase) -> None:
    assert base.search_all(["rust", "blight"], language="sw") == [[], []]


def test_a_filter_reaches_passages_that_would_not_be_among_the_candidates(embedder: Embedder, tmp_path: Path) -> None:
    near = [passage("rust", f"Wheat rust on plot {number}.", number, crop=("wheat",)) for number in range(130)]
    far = passage("okra", "Spray okra in the field.", crop=("okra",))
    builder.build(tmp_path, [*near, far], embedder)
    base = KnowledgeBase(tmp_path, embedder)
    assert "okra" not in found(base.search("wheat rust on a plot", 50))
    (hit,) = base.search("wheat rust on a plot", 50, crop="okra")
    assert hit.passage == far
    assert len(base.search("wheat rust on a plot", 131)) >= 130


def test_a_fact_at_the_end_of_a_passage_of_600_words_is_found(embedder: Embedder, tmp_path: Path) -> None:
    filler = "Dry the grain on a clean sheet in the sun and turn it with a rake every two hours " * 37
    long = passage("drying", f"{filler} and the wasp Teretrius is released against the larger grain borer")
    assert len(long.text.split()) > 600
    assert len(split(long.text)) == 1  # so that only the overlapping pieces can hold its end
    builder.build(tmp_path, [*PASSAGES, long], embedder)
    hit = KnowledgeBase(tmp_path, embedder, meaning_weight=1).search("biological control of borers with wasps")[0]
    assert hit.passage == long
    whole = KnowledgeBase(tmp_path, embedder).search("Teretrius wasp")[0]
    assert whole.passage == long


def test_a_passage_without_sentences_can_be_indexed_and_found(embedder: Embedder, tmp_path: Path) -> None:
    builder.build(tmp_path, [passage("picture", "", title="Photo of a locust"), PASSAGES[0]], embedder)
    hit = KnowledgeBase(tmp_path, embedder).search("locust")[0]
    assert hit.passage.document_id == "picture"
    assert hit.sentences == ()


def test_an_index_of_nothing_is_refused_and_leaves_no_folder(embedder: Embedder, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not one passage"):
        builder.build(tmp_path / "index", [], embedder)
    assert not (tmp_path / "index").exists()


def test_two_passages_with_one_id_are_refused(embedder: Embedder, index: Path) -> None:
    twin = replace(PASSAGES[0], text="The same id, another text.")
    with pytest.raises(BadInput, match="Two passages have the same id"):
        builder.build(index, [PASSAGES[0], twin], embedder)
    with pytest.raises(BadInput, match="does not begin with the id of its document"):
        builder.add(index, [replace(PASSAGES[3], id=PASSAGES[0].id)], embedder)
    assert tuple(load_view(index, embedder).passages) == PASSAGES[:4]


def test_adding_replaces_a_document_of_the_same_id_and_keeps_the_others(embedder: Embedder, index: Path) -> None:
    new = [passage("late-blight", "Spray mancozeb before the rain.", 7), passage("goats", "Milk goats twice a day.")]
    builder.add(index, new, embedder)
    assert set(load_view(index, embedder).passages) == {*PASSAGES[:3], *new}
    base = KnowledgeBase(index, embedder)
    assert base.search("mancozeb before rain")[0].passage == new[0]
    assert PASSAGES[3] not in [hit.passage for hit in base.search("dark wet spots on leaves in cool rain")]


def test_removing_takes_a_document_out_and_says_how_many_passages_went(embedder: Embedder, index: Path) -> None:
    builder.add(index, [passage("goats", "Milk goats.", 1), passage("goats", "Trim the hooves.", 2)], embedder)
    assert builder.remove(index, ["goats", "late-blight"], embedder) == 3
    assert tuple(load_view(index, embedder).passages) == PASSAGES[:3]
    assert "goats" not in found(KnowledgeBase(index, embedder).search("milk goats hooves"))


def test_an_unknown_document_is_not_removed_and_nothing_else_is_either(embedder: Embedder, index: Path) -> None:
    before = load_view(index, embedder)
    with pytest.raises(BadInput, match="no document 'gaots': nothing was removed"):
        builder.remove(index, ["late-blight", "gaots"], embedder)
    after = load_view(index, embedder)
    assert (after.version, after.hash, list(after.passages)) == (before.version, before.hash, list(before.passages))


def test_the_last_document_cannot_be_removed(embedder: Embedder, index: Path) -> None:
    with pytest.raises(BadInput, match="not one passage"):
        builder.remove(index, [passage.document_id for passage in PASSAGES[:4]], embedder)
    assert tuple(load_view(index, embedder).passages) == PASSAGES[:4]


def test_adding_to_or_removing_from_no_index_is_refused_and_makes_no_folder(embedder: Embedder, tmp_path: Path) -> None:
    with pytest.raises(IndexMissing, match="There is no index in"):
        builder.add(tmp_path / "none", PASSAGES[:1], embedder)
    with pytest.raises(IndexMissing, match="There is no index in"):
        builder.remove(tmp_path / "none", ["goats"], embedder)
    assert not (tmp_path / "none").exists()


def test_passages_that_did_not_change_are_not_embedded_again(embedder: Embedder, index: Path) -> None:
    counting = CountingEmbedder(embedder)
    goats = passage("goats", "Milk goats twice a day. Give them water.")
    builder.add(index, [goats], counting)
    assert counting.seen == ["Goats. Milk goats twice a day. Give them water.", "Milk goats twice a day.", "Give them water."]
    counting.seen.clear()
    builder.add(index, [replace(goats, url="https://example.org", crop=("any",))], counting)  # its text is the same
    builder.remove(index, ["late-blight"], counting)
    assert counting.seen == []
    builder.add(index, [replace(goats, title="Keeping goats")], counting)
    assert counting.seen[0] == "Keeping goats. Milk goats twice a day. Give them water."


def test_an_index_changed_step_by_step_equals_one_built_at_once(embedder: Embedder, index: Path, tmp_path: Path) -> None:
    builder.add(index, PASSAGES[6:], embedder)
    builder.add(index, PASSAGES[4:6], embedder)
    builder.remove(index, ["goats"], embedder)
    order = [*PASSAGES[:4], *PASSAGES[6:-1], *PASSAGES[4:6]]
    builder.build(tmp_path / "once", order, embedder)
    changed, once = KnowledgeBase(index, embedder), KnowledgeBase(tmp_path / "once", embedder)
    for query in QUERIES:
        left, right = changed.search(query), once.search(query)
        assert found(left) == found(right)
        assert [hit.score for hit in left] == pytest.approx([hit.score for hit in right], abs=BATCHED)


def test_vectors_made_for_other_sentences_are_not_used_again(
    embedder: Embedder, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later release may find the sentences of the same text elsewhere: the cosines must be those of the new ones."""
    monkeypatch.setattr(builder, "split", lambda text: split(text)[:1])
    builder.build(index, PASSAGES[:4], embedder)
    monkeypatch.undo()
    builder.build(index, PASSAGES[:5], embedder, known=builder.known_vectors(index, embedder))
    for hit in KnowledgeBase(index, embedder).search("leaves"):
        assert len(hit.sentences) == len(split(hit.passage.text))


def test_two_passages_of_the_same_text_are_embedded_once_and_both_found(embedder: Embedder, tmp_path: Path) -> None:
    counting = CountingEmbedder(embedder)
    twins = [passage("rust", "Sow resistant varieties.", number, page=number) for number in (1, 2)]
    builder.build(tmp_path, twins, counting)
    assert len(counting.seen) == 2
    assert [hit.passage for hit in KnowledgeBase(tmp_path, embedder).search("resistant varieties")] == twins


@pytest.mark.parametrize("moment", ["reading", "embedding"])
def test_nobody_loses_a_document_added_while_another_is_being_added(
    embedder: Embedder, index: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The first writer has read the index or is embedding; a second one is refused instead of being overwritten later."""
    refused: list[KnowledgeError] = []

    def add_npk() -> None:
        try:
            builder.add(index, [PASSAGES[5]], embedder)
        except KnowledgeError as error:
            refused.append(error)

    def second() -> None:
        monkeypatch.undo()
        thread = threading.Thread(target=add_npk)
        thread.start()
        thread.join()

    def read_then_second(folder: Path, embedder: Embedder) -> View:
        view = load_view(folder, embedder)
        second()
        return view

    first = embedder
    if moment == "reading":
        monkeypatch.setattr(builder, "load_view", read_then_second)
    else:
        first = CountingEmbedder(embedder, second)
    builder.add(index, [PASSAGES[4]], first)
    assert len(refused) == 1
    assert "Another process is writing the index" in str(refused[0])
    builder.add(index, [PASSAGES[5]], embedder)
    assert {"wheat-rust", "npk", "late-blight"} <= documents(index, embedder)


def test_a_query_in_the_language_of_the_passages_is_read_by_its_rules(base: KnowledgeBase) -> None:
    (hit,) = base.search("धान में कीट", 1, language="hi")
    assert hit.passage.language == "hi"
    assert hit.words > base.search("धान में कीट", len(PASSAGES))[0].words  # में is no word to search for, in Hindi


def test_every_shipped_sheet_is_found_by_its_own_title(embedder: Embedder, tmp_path: Path) -> None:
    passages, glossary = shipped.sheets(), Glossary.load()
    known, originals = shipped.shipped_vectors(embedder), shipped.originals(passages)
    builder.build(tmp_path, passages, embedder, known=known, originals=originals)
    base = KnowledgeBase(tmp_path, embedder)
    for language in ("en", "zh"):
        titles = sorted({passage.title for passage in passages if passage.language == language})
        english = [glossary.translated(title) for title in titles] if language == "zh" else None
        hits = base.search_all(titles, 3, language=language, english=english)
        lost = [title for title, best in zip(titles, hits, strict=True) if title not in {hit.passage.title for hit in best}]
        assert lost == []


def twins() -> tuple[list[Passage], dict[str, Passage]]:
    original = replace(passage("blight", "Cut out the first sick plants. Burn them."), language="en")
    other = replace(passage("rust", "Sow resistant wheat."), language="en")
    twin = replace(passage("blight.zh", "拔除最先发病的植株。烧毁病株。"), language="zh", twin_of="blight", title="晚疫病")
    return [original, other, twin], {twin.id: original}


def test_a_translation_is_found_by_the_meaning_of_its_original(embedder: Embedder, tmp_path: Path) -> None:
    passages, originals = twins()
    builder.build(tmp_path, passages, embedder, originals=originals)
    base = KnowledgeBase(tmp_path, embedder)
    (hit,) = base.search("病株怎么处理", 5, language="zh", english="destroy diseased plants")
    (original, *_) = base.search("destroy diseased plants", 5)
    assert hit.passage == passages[2]
    assert hit.sentences == pytest.approx(original.sentences, abs=1e-6)
    assert hit.meaning == pytest.approx(original.meaning, abs=1e-6)


def test_translations_are_left_out_where_no_language_is_asked_for(embedder: Embedder, tmp_path: Path) -> None:
    passages, originals = twins()
    builder.build(tmp_path, passages, embedder, originals=originals)
    base = KnowledgeBase(tmp_path, embedder)
    assert {hit.passage.language for hit in base.search("sick plants 病株", 5)} == {"en"}
    assert base.view.languages == {"en", "zh"}


def test_many_small_changes_keep_few_segments_and_all_documents(embedder: Embedder, tmp_path: Path) -> None:
    builder.build(tmp_path, PASSAGES[:4], embedder)
    for number in range(20):
        builder.add(tmp_path, [passage(f"note{number}", f"Note number {number} on goats.")], embedder)
    view = load_view(tmp_path, embedder)
    assert len(view.segments) <= builder.MOST_SEGMENTS
    assert {entry.id for _, entry, _ in view.documents()} == {
        *(each.document_id for each in PASSAGES[:4]),
        *(f"note{number}" for number in range(20)),
    }
    (hit, *_) = KnowledgeBase(tmp_path, embedder).search("note number 7 on goats", 3)
    assert hit.passage.document_id == "note7"


def test_what_is_deleted_stays_marked_until_it_is_much_and_compacting_drops_it(embedder: Embedder, tmp_path: Path) -> None:
    notes = [passage(f"note{number}", f"Note number {number} on goats.") for number in range(10)]
    builder.build(tmp_path, notes, embedder)
    builder.remove(tmp_path, ["note3"], embedder)
    view = load_view(tmp_path, embedder)
    assert ([len(segment) for segment in view.segments], len(view.passages)) == ([10], 9)
    assert "note3" not in found(KnowledgeBase(tmp_path, embedder).search("note number 3 on goats", 10))
    before = {hit.passage.id: hit.score for hit in KnowledgeBase(tmp_path, embedder).search("goats 5", 10)}
    builder.compact(tmp_path, embedder)
    assert [len(segment) for segment in load_view(tmp_path, embedder).segments] == [9]
    after = {hit.passage.id: hit.score for hit in KnowledgeBase(tmp_path, embedder).search("goats 5", 10)}
    assert after == pytest.approx(before, abs=1e-5)
    builder.remove(tmp_path, ["note1", "note2"], embedder)  # more than a fifth: written anew at once
    assert [len(segment) for segment in load_view(tmp_path, embedder).segments] == [7]


def test_a_big_file_that_was_damaged_is_noticed_beside_the_first_searches(
    embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_folder, "HASHED_AT_OPEN", 100)
    builder.build(tmp_path, PASSAGES[:4], embedder)
    (windows,) = index_folder.current_version(tmp_path).glob("segment-*/windows.npy")
    content = bytearray(windows.read_bytes())
    content[-1] ^= 1
    windows.write_bytes(content)
    base = KnowledgeBase(tmp_path, embedder)
    until = time.monotonic() + 20
    while base._damage is None and time.monotonic() < until:
        time.sleep(0.01)
    with pytest.raises(IndexMismatch, match=r"windows\.npy was changed after it was written"):
        base.search("rust")
    builder.build(tmp_path, PASSAGES[:4], embedder)
    assert base.search("rust")  # a new version is a new start


def test_of_passages_that_are_alike_the_newer_comes_first_and_none_overtakes_a_better_one(
    embedder: Embedder, tmp_path: Path
) -> None:
    text = "Sow sorghum when fifty millimetres of rain have fallen."
    dates = {"old": "1998", "undated": None, "new": "2024-05-01", "newer": "2025"}
    alike = [passage(name, text, title="Sorghum", published=date) for name, date in dates.items()]
    better = passage("better", "When to sow sorghum? After fifty millimetres of rain.", title="Sorghum", published="1970")
    builder.build(tmp_path, [*alike, better], embedder)
    hits = KnowledgeBase(tmp_path, embedder).search("when to sow sorghum after fifty millimetres of rain")
    assert [hit.passage.document_id for hit in hits] == ["better", "newer", "new", "old", "undated"]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
