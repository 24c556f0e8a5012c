"""From what people said to preference data: each rule, each count, the same bytes again, and a person taken out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from some_sheets import copied, passages

from agri_llm.errors import BadInput
from agri_llm.judgements import Comparison, Criterion, Material, Outcome, Preferred, Review
from agri_llm.prompts import REFUSAL_MARK
from agri_llm.records import Answer, Citation, Feedback, Passage, Question
from training import as_taught, material_file, preferences, simulated
from training.library import Library
from training.pair_cleaning import Rules
from training.pair_sides import split_of
from training.preferences import CHATS, PAIRS, RETRIEVAL, SINGLE, Snapshot

FIRST = "Grow a resistant wheat variety, the cheapest protection against rust."
SECOND = "Wheat rust spreads fastest when leaves stay wet."
HOW = "How do I stop rust in my wheat?"
RUST = Passage(
    id="rust-1",
    document_id="rust",
    title="Rust of wheat",
    text=f"{FIRST} {SECOND}",
)
OTHER = Passage(id="other-1", document_id="other", title="Soil", text="Lime raises the pH of an acid soil within two months.")
RULES = Rules(longer_wins=0.99, most_of_a_rater=1.0, salt="of this test")


def answer(its_id: str, text: str = f"{FIRST}[1]", *, question: str = HOW, place: str | None = None) -> Answer:
    """An answer from two passages, where the page numbers citations as they come and rust is the second passage."""
    quotes = [quote for quote in (FIRST, SECOND) if quote in text]
    cited = tuple(Citation(number=at, passage=RUST, quote=quote) for at, quote in enumerate(quotes, 1))
    asked = Question(id="q" if question == HOW else "another", text=question, place=place, language="en")
    return Answer(id=its_id, question=asked, kind="advice", text=text, citations=cited, passages=(OTHER, RUST))


def compared(first: Answer, second: Answer, preferred: Preferred, by: str = "ann", its_id: str = "") -> Comparison:
    return Comparison(
        id=its_id or f"{first.id}-{second.id}-{by}",
        question_id=first.question.id,
        first=first.id,
        second=second.id,
        preferred=preferred,
        reviewer=by,
    )


def reviewed(of: Answer, score: int, by: str = "ann", **more: Any) -> Review:
    scores: dict[Criterion, int] = dict.fromkeys(("correctness", "completeness", "safety", "groundedness", "clarity"), score)
    return Review(**{"id": f"r-{of.id}-{by}", "answer_id": of.id, "reviewer": by, "scores": scores, **more})


def voted(on: Answer, rating: str = "up", by: str = "farmer", **more: Any) -> Feedback:
    return Feedback(**{"id": f"v-{on.id}-{by}", "answer_id": on.id, "rating": rating, "author": by, **more})


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Snapshot]:
    """Make the data of a few words people said."""

    def made(*answers: Answer, rules: Rules = RULES, name: str = "data", **said: Any) -> Snapshot:
        material = Material(answers={each.id: each for each in answers}, **{key: tuple(value) for key, value in said.items()})
        return preferences.build(material, tmp_path / name, rules)

    return made


def rows_of(snapshot: Snapshot, part: str) -> list[dict[str, Any]]:
    files = [snapshot.folder / part / f"{split}.jsonl" for split in ("train", "validation", "test")]
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


GOOD = answer("good")
LONG = answer("long", f"{FIRST}[1] {SECOND}[2] Neighbours with the same soil report good results.")


def test_the_preferred_answer_stands_above_the_other_with_the_numbers_of_the_request(build: Callable[..., Snapshot]) -> None:
    made = build(GOOD, LONG, comparisons=[compared(LONG, GOOD, "second")])
    (pair,) = rows_of(made, PAIRS)
    assert pair["chosen"] == [{"role": "assistant", "content": f"{FIRST}[2]"}]
    assert pair["rejected"][0]["content"] == f"{FIRST}[2] {SECOND}[2] Neighbours with the same soil report good results."
    assert "[2] Rust of wheat. Grow a resistant" in pair["prompt"][-1]["content"]
    assert {row["completion"][0]["content"]: row["label"] for row in rows_of(made, SINGLE)} == {
        pair["chosen"][0]["content"]: True,
        pair["rejected"][0]["content"]: False,
    }


def test_both_good_and_both_bad_make_no_winner(build: Callable[..., Snapshot]) -> None:
    made = build(GOOD, LONG, comparisons=[compared(GOOD, LONG, "both_bad")])
    assert rows_of(made, PAIRS) == []
    assert [row["label"] for row in rows_of(made, SINGLE)] == [False, False]


def test_a_correction_is_learned_and_stands_above_what_was_shown(build: Callable[..., Snapshot]) -> None:
    made = build(LONG, reviews=[reviewed(LONG, 3, correction=f"{SECOND}[2]")])
    (pair,) = rows_of(made, PAIRS)
    (chat,) = rows_of(made, CHATS)
    assert pair["source"] == "correction"
    assert chat["messages"][-1]["content"] == pair["chosen"][0]["content"] == f"{SECOND}[2]"


def test_a_correction_with_a_dose_that_no_passage_has_goes_back_to_its_expert(build: Callable[..., Snapshot]) -> None:
    made = build(LONG, GOOD, reviews=[reviewed(LONG, 3, correction="Spray 3 l of copper on each hectare.[1]")])
    assert rows_of(made, PAIRS) == rows_of(made, CHATS) == []
    (back,) = made.returned
    assert back["answer"] == "long"
    assert "3 l of copper" in back["reason"]


def test_a_farmers_better_answer_counts_when_an_expert_took_it(build: Callable[..., Snapshot]) -> None:
    for status, pairs in (("new", 0), ("rejected", 0), ("approved", 1), ("edited", 1)):
        vote = voted(LONG, "down", correction=f"{SECOND}[2]", status=status, reviewer="ann")
        made = build(LONG, votes=[vote], name=status)
        assert len(rows_of(made, PAIRS)) == pairs, status


def test_scores_make_a_pair_above_the_margin_and_none_within_it(build: Callable[..., Snapshot]) -> None:
    apart = build(GOOD, LONG, reviews=[reviewed(GOOD, 5), reviewed(LONG, 3)], name="apart")
    assert [row["source"] for row in rows_of(apart, PAIRS)] == ["scores"]
    near = build(GOOD, LONG, reviews=[reviewed(GOOD, 4), reviewed(LONG, 4)], name="near")
    assert rows_of(near, PAIRS) == []
    assert near.manifest["counts"]["pairs of scores within the margin"] == 1


def test_an_unsafe_answer_is_bad_however_good_the_rest_is(build: Callable[..., Snapshot]) -> None:
    review = reviewed(GOOD, 5)
    made = build(GOOD, reviews=[replace(review, scores={**review.scores, "safety": 1})])
    assert [row["label"] for row in rows_of(made, SINGLE)] == [False]


def test_two_experts_who_disagree_evenly_teach_nothing_and_a_third_settles_it(build: Callable[..., Snapshot]) -> None:
    two = [compared(GOOD, LONG, "first", "ann"), compared(GOOD, LONG, "second", "bob")]
    even = build(GOOD, LONG, comparisons=two, name="even")
    assert rows_of(even, PAIRS) == []  # also where one of the two could not be taught as the better one
    other = answer("other", f"{SECOND}[1]")
    sides = [compared(GOOD, other, "first", "ann"), compared(GOOD, other, "second", "bob")]
    assert rows_of(build(GOOD, other, comparisons=sides, name="sides"), PAIRS) == []
    made = build(GOOD, other, comparisons=[*sides, compared(GOOD, other, "first", "cid")], name="three")
    (pair,) = rows_of(made, PAIRS)
    assert pair["chosen"][0]["content"] == f"{FIRST}[2]"
    assert pair["weight"] == pytest.approx(2 / 3, abs=1e-3)


def test_an_experts_word_outranks_thumbs_and_contradicting_farmers_teach_nothing(build: Callable[..., Snapshot]) -> None:
    made = build(GOOD, votes=[voted(GOOD, "down")], reviews=[reviewed(GOOD, 5)], name="expert")
    assert [row["label"] for row in rows_of(made, SINGLE)] == [True]
    failed = Outcome(id="o", answer_id="good", result="failed", author="farmer")
    made = build(GOOD, votes=[voted(GOOD, "up")], outcomes=[failed], name="farmers")
    assert rows_of(made, SINGLE) == []
    assert made.manifest["counts"]["thumbs that an outcome contradicts"] == 1


def test_a_good_answer_with_a_sentence_that_nothing_carries_is_not_taught_as_good(build: Callable[..., Snapshot]) -> None:
    made = build(LONG, votes=[voted(LONG, "up")])
    assert rows_of(made, SINGLE) == []
    assert made.manifest["counts"]["good answers that fail the check"] == 1


def test_verified_and_rejected_citations_teach_search(build: Callable[..., Snapshot]) -> None:
    made = build(GOOD, reviews=[reviewed(GOOD, 3, citations={1: "does_not"})])
    (row,) = [json.loads(line) for line in (made.folder / RETRIEVAL).read_text().splitlines()]
    assert (row["passage_id"], row["supports"]) == ("rust-1", False)


def test_equal_texts_are_no_pair(build: Callable[..., Snapshot]) -> None:
    made = build(GOOD, replace(GOOD, id="same"), comparisons=[compared(GOOD, replace(GOOD, id="same"), "first")])
    assert rows_of(made, PAIRS) == []
    assert made.manifest["counts"]["pairs of equal texts"] == 1


def test_a_refusal_is_taught_as_the_mark_of_a_refusal() -> None:
    assert as_taught.taught(replace(GOOD, kind="refusal", text="Nobody knows.")) == REFUSAL_MARK


def test_names_numbers_of_telephones_and_places_below_the_region_never_come_in(build: Callable[..., Snapshot]) -> None:
    asked = answer("a", place="Kisii, Nyanza, Kenya", question=f"My name is Jane Miller, call +254 712 345678: {HOW}")
    vote = voted(asked, "up", by="secret-cookie", id="v", comment="I am Jane Miller from Kisii")
    made = build(asked, votes=[vote])
    everything = "".join(file.read_text(encoding="utf-8") for file in made.folder.rglob("*.json*"))
    for word in ("Jane", "Miller", "712 345", "Kisii", "Nyanza", "secret-cookie"):
        assert word not in everything, word
    assert "Kenya" in everything


def test_a_question_that_evaluation_asks_is_left_out(build: Callable[..., Snapshot], tmp_path: Path) -> None:
    case = tmp_path / "cases.jsonl"
    case.write_text(json.dumps({"question": GOOD.question.text}) + "\n", encoding="utf-8")
    made = build(GOOD, reviews=[reviewed(GOOD, 5)], rules=replace(RULES, evaluation=(str(case),)))
    assert rows_of(made, SINGLE) == []
    assert made.manifest["counts"]["single answers that evaluation asks"] == 1


def test_more_pairs_of_a_question_than_wanted_are_left_out(build: Callable[..., Snapshot]) -> None:
    others = [answer(f"o{number}", f"{FIRST}[1] Word number {number} is not cited.") for number in range(12)]
    made = build(GOOD, *others, comparisons=[compared(GOOD, each, "first") for each in others])
    assert len(rows_of(made, PAIRS)) == RULES.most_of_a_group
    assert made.manifest["counts"]["pairs beyond the most of a question"] == 12 - RULES.most_of_a_group


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """The data of four simulated experts."""
    library = Library.of(passages(copied(tmp_path_factory.mktemp("sheets"))), ("en", "zh"))
    material = simulated.material(library, simulated.Simulation(ratings=120, noise=0.1, experts=3))
    return preferences.build(material, tmp_path_factory.mktemp("example") / "data", Rules(salt="s"))


def test_the_same_words_and_rules_give_the_same_bytes(example: Snapshot, tmp_path: Path) -> None:
    made = preferences.again(example, tmp_path / "again")
    assert made.hash == example.hash
    assert made.manifest == example.manifest


def test_no_group_stands_on_two_sides_and_a_group_keeps_its_side(example: Snapshot) -> None:
    for part in (PAIRS, SINGLE):
        for row in rows_of(example, part):
            assert row["split"] == split_of(row["group"], Rules())
    assert {row["split"] for row in rows_of(example, SINGLE)} == {"train", "validation", "test"}


def test_length_alone_decides_nothing(example: Snapshot) -> None:
    before, after = (example.manifest["longer_wins"][when]["share"] for when in ("before", "after"))
    assert before < 0.4
    assert 0.39 <= after <= 0.61


def test_without_a_person_is_what_it_would_have_been_without_them(example: Snapshot, tmp_path: Path) -> None:
    rater = next(each for each in example.manifest["raters"])
    removed = preferences.without(example, rater, tmp_path / "removed")
    material = material_file.without(material_file.read(example.folder / preferences.RAW), rater)
    assert removed.hash == preferences.build(material, tmp_path / "never", preferences.rules_of(example)).hash
    assert rater not in removed.manifest["raters"]
    assert all(rater not in row["raters"] for part in (PAIRS, SINGLE) for row in rows_of(removed, part))
    with pytest.raises(BadInput, match=r"nobody in .+ is ~nobody"):
        preferences.without(example, "~nobody", tmp_path / "nobody")


def test_what_cannot_be_used_is_said_in_one_sentence(example: Snapshot, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nobody whose answers may be used said anything yet"):
        preferences.build(Material(), tmp_path / "none", RULES)
    with pytest.raises(BadInput, match="holds something already"):
        preferences.build(Material(), example.folder, RULES)
    with pytest.raises(BadInput, match=r"holds no manifest.json"):
        preferences.read(tmp_path)
    copy = tmp_path / "copy"
    made = preferences.again(example, copy)
    (copy / PAIRS / "train.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(BadInput, match=r"pairs/train.jsonl is not as its manifest.json says"):
        preferences.read(made.folder)
    (copy / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(BadInput, match="is damaged"):
        preferences.read(copy)


def test_a_file_of_words_with_a_damaged_line_names_it(tmp_path: Path) -> None:
    file = tmp_path / "said.jsonl"
    material = Material(answers={"good": GOOD}, reviews=(reviewed(GOOD, 4),))
    material_file.write(file, material)
    assert material_file.same(material_file.read(file), material)
    for line, said in (
        ('{"part": "gossip", "record": 1}', "holds no record"),
        ('{"part": "votes", "record": {"id": "x"}}', "is no record of votes"),
    ):
        broken = tmp_path / "broken.jsonl"
        broken.write_text(file.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
        with pytest.raises(BadInput, match=said):
            material_file.read(broken)
    lonely = tmp_path / "lonely.jsonl"
    material_file.write(lonely, Material(reviews=(reviewed(GOOD, 4),)))
    with pytest.raises(BadInput, match="speaks of the answer good"):
        material_file.read(lonely)


def test_what_is_asked_of_sections_that_evaluation_examines_is_for_the_test_side(
    build: Callable[..., Snapshot], tmp_path: Path
) -> None:
    sheet = next(
        passage for passage in preferences.shipped.sheets() if passage.id in preferences.examined_sections(("shipped",))
    )
    quote = sheet.text.split(". ")[0].rstrip(".") + "."
    said = []
    for number in range(12):  # by chance alone one of them would be elsewhere
        cited = (Citation(number=1, passage=sheet, quote=quote),)
        question = Question(id=f"q{number}", text=f"Question {number} on {sheet.title}?", language="en")
        said.append(Answer(id=f"a{number}", question=question, kind="advice", text=quote, citations=cited, passages=(sheet,)))
    made = build(*said, votes=[voted(each, "down", id=f"v{each.id}") for each in said])
    assert {row["split"] for row in rows_of(made, SINGLE)} == {"test"}
    assert made.manifest["counts"]["questions for the test side, because evaluation asks about their sections"] == 12
