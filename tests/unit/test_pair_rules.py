"""What each word of people teaches, and what never stands in preference data: persons, villages, cases of evaluation."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from test_preferences import FIRST, GOOD, HOW, LONG, RULES, SECOND, answer, compared, reviewed, voted

from agri_llm.errors import BadInput
from agri_llm.judgements import Material, Outcome, SignedAnswer
from agri_llm.records import Answer
from training import as_taught, material_file, pair_cleaning, pair_rules, pair_sides, preferences
from training.contamination import Contamination
from training.pair_cleaning import Rules
from training.pair_rules import Draft, Drafts

OTHER = answer("other", f"{SECOND}[1]")


def material(*answers: Answer, **said: Iterable[object]) -> Material:
    return Material(answers={each.id: each for each in answers}, **{key: tuple(value) for key, value in said.items()})  # type: ignore[arg-type]


def drafts(*answers: Answer, **said: Iterable[object]) -> Drafts:
    return pair_rules.drafts(material(*answers, **said), RULES.margin)


def signed(text: str, name: str = "Ann Otieno", region: str | None = None) -> SignedAnswer:
    until = datetime(2027, 1, 1, tzinfo=UTC)
    return SignedAnswer(
        id="s", answer=replace(GOOD, text=text), signer="ann", signer_name=name, expires_at=until, region=region
    )


def outcome(result: str) -> Outcome:
    return Outcome(id="o", answer_id="good", result=result, author="farmer")  # type: ignore[arg-type]


def pair(question: str, chosen: str, rejected: str, *, weight: float = 1.0, ids: tuple[str, ...] = ("x",)) -> Draft:
    asked = answer("a", question=question)
    draft = Draft(source="comparison", group=as_taught.group_of(asked), language="en", messages=(), chosen=chosen)
    messages = ({"role": "user", "content": f"[1] {FIRST}\n\nQuestion: {question}"},)
    return replace(draft, rejected=rejected, messages=messages, weight=weight, ids=ids, raters=("ann",))


# ---- what each word teaches


@pytest.mark.parametrize(("result", "labels"), [("worked", [True]), ("failed", [False]), ("partly", [])])
def test_advice_that_worked_is_good_and_that_failed_is_bad_and_partly_says_nothing(result: str, labels: list[bool]) -> None:
    assert [draft.good for draft in drafts(GOOD, outcomes=[outcome(result)]).single] == labels


def test_a_signed_answer_is_a_chat_to_learn_and_one_that_fails_the_check_goes_back() -> None:
    (chat,) = drafts(GOOD, signed=[signed(f"{FIRST}[1]")]).chats
    assert (chat.source, chat.chosen) == ("signed", f"{FIRST}[2]")
    found = drafts(GOOD, signed=[signed("Spray 3 l of copper on each hectare.[1]")])
    assert found.chats == []
    assert [back["id"] for back in found.returned] == ["s"]


def test_a_signed_answer_that_was_withdrawn_or_ran_out_is_not_taught() -> None:
    gone, stands = replace(signed(f"{FIRST}[1]"), withdrawn_at=datetime(2026, 6, 1, tzinfo=UTC)), signed(f"{FIRST}[1]")
    found = drafts(GOOD, signed=[gone])
    assert found.chats == []
    assert found.counts["signed answers that were withdrawn"] == 1
    both = material(signed=[gone, stands])
    assert material_file.in_force(both, datetime(2026, 12, 31, tzinfo=UTC)).signed == (stands,)
    assert material_file.in_force(both, stands.expires_at).signed == ()


def test_both_good_are_two_good_answers() -> None:
    found = drafts(GOOD, OTHER, comparisons=[compared(GOOD, OTHER, "both_good")])
    assert found.pairs == []
    assert [draft.good for draft in found.single] == [True, True]


def test_a_citation_that_experts_disagree_on_teaches_nothing() -> None:
    verdicts = [reviewed(GOOD, 3, "ann", citations={1: "supports"}), reviewed(GOOD, 3, "bob", citations={1: "does_not"})]
    found = drafts(GOOD, reviews=verdicts)
    assert found.retrieval == []
    assert found.counts["citations that experts disagree on"] == 1
    (row,) = drafts(GOOD, reviews=verdicts[:1]).retrieval
    assert row["supports"] is True


def test_experts_who_find_an_answer_good_and_bad_leave_it_out() -> None:
    found = drafts(GOOD, reviews=[reviewed(GOOD, 5, "ann"), reviewed(GOOD, 1, "bob")])
    assert found.single == []
    assert found.counts["answers that experts disagree on"] == 1


# ---- what never comes in


def test_no_file_of_a_snapshot_tells_who_asked_who_corrected_or_who_signed(tmp_path: Path) -> None:
    who = "My name is Jane Miller, call +254 712 345678, jane@farm.example."
    shown = answer("shown", f"{who} {FIRST}[1]", place="Ogembo village / Kisii / Kenya", question=f"{who} {HOW}")
    served = replace(GOOD, signed_by="Peter Njoroge")
    said = [
        reviewed(shown, 3, correction=f"{who} {FIRST}[1]", comment=who),
        reviewed(shown, 3, "bob", correction=f"Ann Otieno says so. {FIRST}[1]"),
    ]
    vote = voted(shown, "down", correction=f"{who} {SECOND}[1]", status="approved", reviewer="ann", comment=who)
    vouched = signed(f"{FIRST}[1]", region="Ogembo village, Kisii, Kenya")
    made = preferences.build(material(shown, served, reviews=said, votes=[vote], signed=[vouched]), tmp_path / "data", RULES)
    assert len(made.returned) == 3  # a sentence that nothing carries: each goes back, and its reason tells nobody either
    everything = "".join(file.read_text(encoding="utf-8") for file in made.folder.rglob("*") if file.is_file())
    for word in ("Jane", "Miller", "712 345", "jane@", "Otieno", "Njoroge", "Ogembo", "Kisii", '"ann"', '"bob"'):
        assert word not in everything, word
    assert made.hash == preferences.again(made, tmp_path / "again").hash


def test_a_signers_name_of_one_word_is_left_in_texts_because_it_may_be_a_crop() -> None:
    bare = material_file.without_names(material(GOOD, signed=[signed(f"{FIRST}[1]", name="Grow")]), "salt")
    assert bare.signed[0].answer.text == f"{FIRST}[1]"
    assert bare.signed[0].signer_name == ""


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Kisii, Nyanza, Kenya", "Kenya"),
        ("Kenya, Nyanza, Kisii, my farm", "Kenya"),
        ("Ogembo village / Kisii / Kenya", "Kenya"),
        ("Kisii, Nyanza", "Nyanza"),
        ("Kisii", "Kisii"),
        ("Ogembo village", None),
        ("河北省石家庄市藁城区岗上镇", "河北"),
        ("中国，河北省，石家庄", "河北"),
        ("石家庄市藁城区岗上镇", "石家庄市"),
        ("藁城区岗上镇", "藁城区"),
        ("岗上镇", None),
        ("", None),
        (None, None),
    ],
)
def test_of_a_place_a_country_or_region_is_left_and_nothing_smaller(written: str | None, kept: str | None) -> None:
    assert as_taught.coarse_place(written) == kept
    assert as_taught.coarse_place(kept) == kept


# ---- what is cleaned


def test_of_pairs_that_nearly_say_the_same_the_held_out_one_stays() -> None:
    words = " ".join(f"word{chr(97 + at % 26)}{chr(97 + at // 26)}" for at in range(120))
    questions = [f"{words} {last}" for last in ("leaves", "stems", "roots", "seeds", "flowers", "fruits", "buds", "soil")]
    pairs = [pair(question, f"{FIRST}[1]", SECOND, ids=(question[-6:],)) for question in questions]
    sides = {each.ids: pair_sides.split_of(each.group, RULES) for each in pairs}
    assert len(set(sides.values())) > 1  # else this test says nothing
    counts: Counter[str] = Counter()
    (kept,) = pair_sides.unrepeated(pairs, RULES, counts)
    assert sides[kept.ids] != "train"
    assert counts["pairs nearly said before"] == len(pairs) - 1


def test_single_answers_and_chats_are_not_learned_where_nearly_the_same_is_held_out() -> None:
    words = " ".join(f"word{chr(97 + at % 26)}{chr(97 + at // 26)}" for at in range(120))
    questions = [f"{words} {last}" for last in ("leaves", "stems", "roots", "seeds", "flowers", "fruits", "buds", "soil")]
    found = [pair(question, f"{FIRST}[1]", "") for question in questions] + [pair(HOW, f"{FIRST}[1]", "")]
    sides = [pair_sides.split_of(each.group, RULES) for each in found]
    assert len(set(sides[:-1])) > 1  # else this test says nothing
    counts: Counter[str] = Counter()
    kept = pair_sides.apart(found, RULES, counts, "chats")
    nearly = [each for each in kept if each.group != found[-1].group]
    assert {pair_sides.split_of(each.group, RULES) for each in nearly} == {"test" if "test" in sides[:-1] else "validation"}
    assert found[-1] in kept
    assert counts["chats nearly said on a held-out side"] == len(found) - len(kept)


def test_pairs_with_another_number_are_not_the_same() -> None:
    words = " ".join(f"word{chr(97 + at % 26)}{chr(97 + at // 26)}" for at in range(120))
    pairs = [pair(f"{words} {number} weeks", f"{FIRST}[1]", SECOND) for number in (2, 3)]
    assert len(pair_sides.unrepeated(pairs, RULES, Counter())) == 2


def test_a_pair_whose_worse_answer_stands_in_an_evaluation_case_is_left_out(tmp_path: Path) -> None:
    case = tmp_path / "cases.jsonl"
    worse = "Neighbours with the same soil and the same seed report very good results after only two weeks of waiting."
    case.write_text(json.dumps({"question": "What is told?", "answer": worse}) + "\n", encoding="utf-8")
    known, counts = Contamination([case]), Counter[str]()
    tainted, clean = pair(HOW, f"{FIRST}[1]", worse), pair(HOW, f"{FIRST}[1]", SECOND)
    assert pair_cleaning.uncontaminated([tainted, clean], known, counts, "pairs") == [clean]
    assert counts["pairs that evaluation asks"] == 1
    preferences.untested(clean, known)
    with pytest.raises(BadInput, match=r"what was said in x repeats .+ after all was cleaned: a model that learns it"):
        preferences.untested(tainted, known)


def test_data_that_were_compared_with_no_evaluation_file_do_not_claim_it(tmp_path: Path) -> None:
    for name, evaluation in (("compared", ("shipped",)), ("not", ())):
        said = material(GOOD, reviews=[reviewed(GOOD, 5)])
        made = preferences.build(said, tmp_path / name, replace(RULES, evaluation=evaluation))
        manifest = json.loads((made.folder / preferences.SINGLE / "manifest.json").read_text(encoding="utf-8"))
        assert manifest["contamination_checked"] is bool(evaluation)


# ---- too little to learn from, each in one sentence


def test_where_all_are_ties_it_is_said_that_nothing_is_left_and_why(tmp_path: Path) -> None:
    near = [reviewed(GOOD, 3), reviewed(OTHER, 3)]
    said = preferences.summary(preferences.build(material(GOOD, OTHER, reviews=near), tmp_path / "ties", RULES))
    assert any(line.startswith("Nothing is left to learn from") for line in said)
    assert "Left out or settled: 1 pairs of scores within the margin" in said
    some = preferences.build(material(GOOD, reviews=[reviewed(GOOD, 5)]), tmp_path / "some", RULES)
    assert not any(line.startswith("Nothing is left") for line in preferences.summary(some))


def test_the_word_of_one_person_is_called_so(tmp_path: Path) -> None:
    one = compared(GOOD, LONG, "first")
    alone = preferences.build(material(GOOD, LONG, comparisons=[one]), tmp_path / "one", Rules(salt="s"))
    assert any("the word of one person" in line for line in preferences.summary(alone))
    both = [one, compared(GOOD, LONG, "first", "bob")]
    two = preferences.build(material(GOOD, LONG, comparisons=both), tmp_path / "two", Rules(salt="s"))
    assert not any("the word of one person" in line for line in preferences.summary(two))
