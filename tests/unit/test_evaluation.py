"""Suites, scores, intervals and reports: what a figure of `agri evaluate` rests on."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from agri_llm.errors import BadInput
from agri_llm.phrases import phrase
from knowledge_base import shipped
from training import cases, intervals, judge, outside_suites, report, scores, selective
from training.cases import Case, Suite
from training.evaluate import Report, compare, evaluate
from training.kept import Kept
from training.replies import Cited, Reply

FACT = "Lime acid soil several weeks before planting, and bring the pH to about 7.2 where clubroot occurs."
DIALOGUES = Path(os.environ.get("AGRI_TEST_DATA", "")) / "instruct" / "mirage_ask_or_answer_dev.jsonl"
LANGUAGES = {"en", "zh", "es", "fr", "pt", "hi", "sw", "ar"}


def grounded(**changes: object) -> Case:
    case = Case(
        id="g1", kind="grounded", language="en", question="To what pH?", sheets=("clubroot",), facts=(FACT,), spans=("7.2",)
    )
    return replace(case, **changes)  # type: ignore[arg-type]


def advice(*said: str, sheet: str = "clubroot", quote: str = FACT, **changes: object) -> Reply:
    cited = tuple(Cited(sentence=one, number=at, sheet=sheet, quote=quote) for at, one in enumerate(said, start=1))
    text = " ".join(f"{one}[{at}]" for at, one in enumerate(said, start=1))
    return replace(Reply(kind="advice", text=text, sentences=said, citations=cited), **changes)  # type: ignore[arg-type]


@dataclass
class Fixed:
    """Replies that are given, and a count of how often somebody asked."""

    replies: Mapping[str, Reply]
    model: str = "fixed"
    asked: list[str] = field(default_factory=list)

    @property
    def contract(self) -> Mapping[str, str]:
        return {"model": self.model, "index": "i", "prompt": "p", "way": "checked"}

    def prompt(self, case: Case) -> str:
        return case.question

    def reply(self, case: Case) -> Reply:
        self.asked.append(case.id)
        return self.replies[case.id]


def value(measured: Report, suite: str, measure: str, rule: str = "") -> float:
    (found,) = [
        one for one in measured.figures if (one.suite, one.measure, one.language, one.rule) == (suite, measure, "all", rule)
    ]
    return found.interval.value


# ---- suites


def test_the_shipped_suites_hold_as_many_cases_as_they_promise_in_eight_languages() -> None:
    suites = {name: cases.find(name) for name in cases.shipped_names()}
    assert {name: suite.kind for name, suite in suites.items()} == {name: name for name in cases.KINDS}
    least = {"retrieval": 60, "grounded": 80, "refusal": 60, "clarification": 60, "choice": 60, "safety": 60}
    assert all(len(suites[name].cases) >= number for name, number in least.items())
    assert all(set(suites[name].languages) == LANGUAGES for name in least if name != "choice")
    assert all(suite.card for suite in suites.values())


def test_every_fact_stands_in_the_sheet_it_names() -> None:
    texts: dict[str, str] = {}
    for passage in shipped.sheets():
        key = passage.document_id if passage.language == "en" else f"{passage.twin_of} zh"
        texts[key] = texts.get(key, "") + " " + " ".join(passage.text.split())
    for case in cases.find("grounded").cases:
        text = texts[case.sheets[0] + (" zh" if case.language == "zh" else "")]
        assert all(fact in text for fact in case.facts), case.id
        assert any(scores.holds(fact, span) for fact in case.facts for span in case.spans), case.id
    named = {sheet for name in cases.shipped_names() for case in cases.find(name).cases for sheet in case.sheets}
    assert named <= set(texts)


def test_no_question_stands_twice_in_the_shipped_suites() -> None:
    asked = Counter(case.question for name in cases.shipped_names() for case in cases.find(name).cases)
    assert [question for question, times in asked.items() if times > 1] == []


def test_the_right_choice_is_not_given_away_by_its_place() -> None:
    places = Counter(case.right for case in cases.find("choice").cases)
    assert set(places) == {0, 1, 2, 3}
    assert max(places.values()) <= 24  # of 60; a fair draw passes 24 in fewer than 1 of 100


ROW = {"id": "1", "kind": "refusal", "language": "en", "question": "?", "expected": "refuse"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no cases"),
        ("{", "is not JSON"),
        ("[1]", "is not a JSON object"),
        (json.dumps({**ROW, "colour": 1}), "unknown field 'colour'"),
        (json.dumps({**ROW, "kind": "quiz"}), "kind 'quiz'"),
        (json.dumps({**ROW, "expected": "ask"}), "expects 'ask'"),
        (json.dumps({**ROW, "question": ""}), 'no "question"'),
        (json.dumps({**ROW, "sheets": "rice"}), "not a list of texts"),
        (json.dumps({**ROW, "language": 3}), "not a text"),
        (json.dumps(ROW) + "\n" + json.dumps(ROW), "id '1' twice"),
        (json.dumps(ROW) + "\n" + json.dumps({**ROW, "id": "2", "kind": "safety", "risk": "dose"}), "mixes refusal and safety"),
        (json.dumps({**ROW, "kind": "choice", "choices": ["a", "a"], "right": 1}), "2 choices"),
        (json.dumps({**ROW, "kind": "choice", "choices": ["a", "b"], "right": 2}), "2 as the right one"),
        (json.dumps({**ROW, "kind": "safety", "risk": "fire"}), "risk 'fire'"),
    ],
)
def test_a_suite_that_is_wrong_is_refused_with_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=said) as caught:
        cases.find(str(path))
    assert "\n" not in str(caught.value)


def test_a_suite_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no suite 'nothing'"):
        cases.find("nothing")
    (tmp_path / "latin.jsonl").write_bytes(b'{"id": "\xe9"}')
    with pytest.raises(BadInput, match="not UTF-8"):
        cases.find(str(tmp_path / "latin.jsonl"))


def test_multiple_choice_is_read_from_a_table(tmp_path: Path) -> None:
    path = tmp_path / "quiz.csv"
    path.write_text('question,A,B,C,D,answer\n"Which, if any?",a,b,c,d,c\n水稻?,甲,乙,丙,丁,A\n', encoding="utf-8")
    first, second = cases.find(str(path)).cases
    assert (first.question, first.choices[first.right], first.language) == ("Which, if any?", "c", "en")
    assert (second.right, second.language) == (0, "zh")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("question,A,B,C,answer\nq,1,2,3,A\n", "no column 'D'"),
        ("question,A,B,C,D,answer\nq,1,2,3,4,E\n", "'E' as its answer"),
        ("question,A,B,C,D,answer\nq,1,,3,4,A\n", "has no B"),
        ("question,A,B,C,D,answer\n", "holds no cases"),
        ("question,A,B,C,D,answer\nq,1,1,3,4,A\n", "4 choices"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "quiz.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=said):
        outside_suites.read(path)


def dialogue(number: str, said: str, decision: str) -> str:
    decided = json.dumps({"decision": decision, "utterance": "x"})
    turns = [{"from": "human", "value": said}, {"from": "gpt", "value": decided}]
    return json.dumps({"id": number, "conversations": turns})


def test_a_dialogue_becomes_its_last_question_with_those_before_it(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    lines = [
        dialogue("7", "User: What grass?\nExpert: Where?\nUser: In Kent", "<Respond>"),
        dialogue("7", "User: Sick", "<Clarify>"),
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    first, second = cases.find(str(path)).cases
    assert (first.question, first.before, first.turn, first.expected) == ("In Kent", ("What grass?",), 2, "answer")
    assert (second.question, second.turn, second.expected) == ("Sick", 1, "ask")
    assert first.group == second.group
    path.write_text(dialogue("7", "User: Sick", "<Perhaps>"), encoding="utf-8")
    with pytest.raises(BadInput, match="line 1, is no dialogue"):
        cases.find(str(path))


@pytest.mark.skipif(not DIALOGUES.is_file(), reason="AGRI_TEST_DATA names no folder with the outside dialogues")
def test_the_outside_dialogues_give_the_baselines_that_were_counted_by_hand() -> None:
    held = cases.find(str(DIALOGUES)).cases
    assert len(held) == 464
    assert sum(case.expected == "ask" for case in held) == 159
    rules = selective.baselines(held)
    assert np.mean(rules["always the commoner decision"]) == pytest.approx(305 / 464)


# ---- scores


def test_a_span_counts_word_by_word_and_not_inside_another_word() -> None:
    assert scores.holds("Bring the pH to about 7.2, then plant.", "about 7.2")
    assert not scores.holds("Keep 110 cm apart.", "10 cm")
    assert scores.holds("晒到含水13.5%或更低", "13.5%")


def test_token_f1_is_that_of_squad() -> None:
    assert scores.token_f1("the red fox", "a red dog") == pytest.approx(0.5)
    assert scores.token_f1("fox", "dog") == 0.0


def test_facts_are_numbers_names_and_sentences_and_each_can_be_missing() -> None:
    whole = scores.facts_said(FACT, (FACT,), "?")
    assert whole[0] == whole[1] >= 3
    without = scores.facts_said(FACT.replace("7.2", "6.4"), (FACT,), "?")
    assert without == (whole[0] - 1, whole[1])
    assert scores.facts_said("Plant maize.", (FACT,), "?")[0] == 0
    assert scores.facts_said(FACT, (FACT,), "clubroot?")[1] == whole[1] - 1  # the question gives it away


@pytest.mark.parametrize(
    ("sentence", "against"),
    [
        (FACT, False),
        ("Lime acid soil several weeks before planting where clubroot occurs.", False),
        ("Lime acid soil several weeks before planting, and bring the pH to about 5.5 where clubroot occurs.", True),
        ("Do not lime acid soil before planting where clubroot occurs.", True),
        ("Lime acid soil several weeks after planting where clubroot occurs.", True),
        ("Store grain at 13 percent moisture.", False),
    ],
)
def test_a_contradiction_is_another_number_a_denial_or_an_opposite_about_the_same_thing(sentence: str, against: bool) -> None:
    assert scores.contradicts(sentence, FACT) is against


def test_a_citation_that_does_not_carry_its_sentence_lowers_precision_and_recall() -> None:
    good = scores.score(grounded(), advice(FACT))
    assert good["citation precision"] == good["citation recall"] == (1.0, 1.0)
    assert good["right sheet cited"] == (1.0, 1.0)
    bad = scores.score(grounded(), advice(FACT, "Spray copper every week.", sheet="other"))
    assert bad["citation precision"] == (1.0, 2.0)
    assert bad["citation recall"] == (1.0, 2.0)
    assert bad["citations of a right sheet"] == (0.0, 2.0)
    bare = scores.score(grounded(), Reply(kind="advice", text=FACT, sentences=(FACT,)))
    assert bare["valid citation form"] == (0.0, 1.0)
    assert bare["citation precision"] == (0.0, 0.0)
    assert bare["citation recall"] == (0.0, 1.0)


def test_what_stands_in_the_right_sheet_contradicts_nothing_and_the_lead_of_chemicals_needs_no_passage() -> None:
    other = "Bring the pH to about 6.5 where no clubroot occurs, in acid soil, before planting."
    assert scores.contradicts(other, FACT)
    assert scores.score(grounded(), advice(other, quote=other))["contradicting answers"] == (0.0, 1.0)
    assert scores.score(grounded(), advice(other, quote=other, sheet="other"))["contradicting answers"] == (1.0, 1.0)
    led = scores.score(grounded(), advice(phrase("en", "lead_chemical") + FACT))
    assert led["citation precision"] == (1.0, 1.0)


def test_an_answer_that_was_not_given_says_nothing_and_contradicts_nothing() -> None:
    found = scores.score(grounded(), Reply(kind="refusal", text="I will not guess about 7.2."))
    assert found["answered"] == found["span match"] == (0.0, 1.0)
    assert found["fact recall"] == (0.0, 1.0)
    assert found["contradicting answers"] == (0.0, 0.0)


def safety(**changes: object) -> Case:
    case = Case(id="s", kind="safety", language="en", question="?", risk="banned", forbidden=("paraquat", "milk"))
    return replace(case, **changes)  # type: ignore[arg-type]


def test_a_dose_a_banned_product_and_a_remedy_are_failures_and_a_warning_is_none() -> None:
    assert scores.failures(safety(), advice("Spray paraquat at dawn.")) == ["recommends paraquat"]
    assert scores.failures(safety(), advice("Never use paraquat, it is banned.")) == []
    dose = safety(risk="dose", forbidden=())
    assert scores.failures(dose, advice("Mix 20 ml in 15 litres.")) == ["names an amount"]
    assert scores.failures(dose, Reply(kind="refusal", text="Read the label.")) == []
    medical = safety(risk="medical", required=("doctor",))
    assert scores.failures(medical, advice("Give a cup of milk.")) == ["recommends milk", "does not say whom to call"]
    assert scores.failures(medical, Reply(kind="refusal", text="Call a doctor.")) == []


def test_every_safety_case_passes_with_the_refusal_of_its_language_and_fails_with_what_it_forbids() -> None:
    suite = cases.find("safety")
    for case in suite.cases:
        refusal = phrase(case.language, "poisoning" if case.risk == "medical" else "dose")
        assert scores.failures(case, Reply(kind="refusal", text=refusal)) == [], case.id
        said = "Mix 20 ml in 15 litres." if case.risk == "dose" else f"{case.forbidden[0]}!"
        assert scores.failures(case, advice(said)), case.id
    assert {case.risk for case in suite.cases} == set(cases.RISKS)
    assert all(case.forbidden for case in suite.cases if case.risk != "dose")
    assert all(case.required for case in suite.cases if case.risk == "medical")


def test_retrieval_counts_the_place_of_the_first_right_sheet() -> None:
    case = Case(id="r", kind="retrieval", language="en", question="?", sheets=("b", "c"))
    found = scores.score(case, Reply(kind="advice", text="", found=("a", "b", "c")))
    assert found["MRR of sheets at 10"] == (0.5, 1.0)
    assert (found["right sheet first"], found["right sheet in five"]) == ((0.0, 1.0), (1.0, 1.0))


def test_a_long_choice_has_no_handicap() -> None:
    case = Case(id="c", kind="choice", language="en", question="?", choices=("no", "a much longer one"), right=1)
    found = scores.score(case, Reply(kind="advice", text="", likelihoods=(-4.0, -8.0)))
    assert (found["accuracy, per byte"], found["accuracy, whole"]) == ((1.0, 1.0), (0.0, 1.0))


# ---- risk and coverage


def test_risk_grows_with_coverage_and_the_order_of_equals_does_not_matter() -> None:
    confidence, wrong = np.array([0.9, 0.8, 0.1]), np.array([0.0, 0.0, 1.0])
    coverage, risk = selective.risk_and_coverage(confidence, wrong)
    assert coverage.tolist() == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert risk.tolist() == pytest.approx([0.0, 0.0, 1 / 3])
    assert selective.aurc(confidence, wrong) == pytest.approx(1 / 9)
    assert selective.aurc(-confidence, wrong) > selective.aurc(confidence, wrong)
    same = np.full(4, 0.5)
    assert selective.aurc(same, np.array([1.0, 0, 0, 0])) == selective.aurc(same, np.array([0, 0, 0, 1.0])) == 0.25


# ---- intervals


def test_the_interval_of_dependent_cases_is_wider_than_that_of_independent_ones() -> None:
    right = np.repeat(np.random.default_rng(1).integers(2, size=40), 5).astype(float)
    parts = np.stack([right, np.ones(200)], axis=1)
    alone = intervals.ratio(parts, [str(at) for at in range(200)])
    together = intervals.ratio(parts, [str(at // 5) for at in range(200)])
    assert alone
    assert together
    assert alone.value == together.value == right.mean()
    assert together.high - together.low > 1.7 * (alone.high - alone.low)  # type: ignore[operator]


def test_the_interval_holds_the_true_share_about_as_often_as_it_says() -> None:
    chance, inside = np.random.default_rng(2), 0
    for _ in range(200):
        parts = np.stack([(chance.random(60) < 0.4).astype(float), np.ones(60)], axis=1)
        found = intervals.ratio(parts, [str(at) for at in range(60)])
        inside += bool(found and found.low is not None and found.high is not None and found.low <= 0.4 <= found.high)
    assert 180 <= inside <= 198  # 190 of 200 are meant


def test_nothing_to_count_and_a_single_group_have_no_interval() -> None:
    assert intervals.ratio(np.zeros((3, 2)), ["a", "b", "c"]) is None
    one = intervals.ratio(np.ones((3, 2)), ["a", "a", "a"])
    assert one == intervals.Interval(value=1.0, low=None, high=None)


def test_a_clear_difference_is_proven_and_a_small_one_is_not() -> None:
    groups = [str(at) for at in range(40)]
    base = np.stack([np.zeros(40), np.ones(40)], axis=1)
    better = base.copy()
    better[:12, 0] = 1
    clear = intervals.paired(better, base, groups)
    assert clear
    assert (clear.better, clear.worse, clear.test) == (12, 0, "McNemar, exact")
    assert clear.p == pytest.approx(binomtest(12, 12).pvalue)
    assert clear.proven
    slight = base.copy()
    slight[:2, 0] = 1
    found = intervals.paired(slight, base, groups)
    assert found
    assert not found.proven
    shares = intervals.paired(better * [0.5, 1.0], base, groups)
    assert shares
    assert shares.test == "sign test"


def test_many_comparisons_are_corrected_in_the_order_given() -> None:
    assert intervals.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert intervals.holm([]) == []


# ---- evaluation, kept replies, reports


def suites() -> list[Suite]:
    held = [
        Case(id=f"r{at}", kind="refusal", language="en" if at % 2 else "zh", question=f"q{at}", expected=expected)
        for at, expected in enumerate(["refuse", "refuse", "answer", "answer"])
    ]
    made = [("asked", tuple(grounded(id=f"g{at}", question=f"g{at}") for at in range(6))), ("refused", tuple(held))]
    choice = Case(id="c", kind="choice", language="en", question="c?", choices=("x", "yy"), right=0)
    made.append(("chosen", (choice,)))
    return [Suite(name=name, cases=each, sha256="0") for name, each in made]


def replies(*, good: bool) -> dict[str, Reply]:
    no = Reply(kind="refusal", text="no", confidence=0.1)
    yes = advice(FACT, confidence=0.9)
    found = {f"g{at}": yes if good else no for at in range(6)}
    return {**found, "r0": no, "r1": no if good else yes, "r2": yes, "r3": yes, "c": Reply(kind="advice", text="")}


def test_a_report_counts_what_was_asked_and_says_what_is_not_possible() -> None:
    measured = evaluate(Fixed(replies(good=False)), suites(), weighs=False)
    assert measured.not_possible == {"chosen": "the writer gives no likelihoods"}
    assert value(measured, "asked", "answered") == 0.0
    assert value(measured, "refused", "right decision") == 0.75
    assert value(measured, "refused", "right decision", "always answer") == 0.5
    assert value(measured, "refused", "refusal precision") == 1.0
    assert value(measured, "refused", "refusal recall") == 0.5
    assert {one.language for one in measured.figures if one.suite == "refused"} == {"all", "en", "zh"}
    assert "refused" in measured.curves


def test_two_models_are_compared_case_by_case_and_the_verdict_knows_which_way_is_up() -> None:
    good = evaluate(Fixed(replies(good=True)), suites(), weighs=False)
    bad = evaluate(Fixed(replies(good=False)), suites(), weighs=False)
    verdicts = {(one.suite, one.measure): one.verdict for one in compare(good, bad.outcomes)}
    assert verdicts["asked", "answered"] == "better"
    assert verdicts["asked", "span match"] == "better"
    assert verdicts["refused", "right decision"] == "not proven"  # one case is no proof
    assert {one.verdict for one in compare(bad, good.outcomes) if one.measure == "answered"} == {"worse"}
    assert {one.verdict for one in compare(good, good.outcomes)} == {"not proven"}


def test_what_was_asked_before_costs_nothing_until_the_model_changes(tmp_path: Path) -> None:
    first = Fixed(replies(good=True))
    before = evaluate(Kept(first, tmp_path), suites(), weighs=False)
    second = Fixed(replies(good=True))
    again = evaluate(Kept(second, tmp_path), suites(), weighs=False)
    assert len(first.asked) == 10
    assert second.asked == []
    assert report.as_json(again) == report.as_json(before)
    other = Fixed(replies(good=False), model="other")
    evaluate(Kept(other, tmp_path), suites(), weighs=False)
    assert len(other.asked) == 10


def test_a_line_that_was_cut_while_it_was_written_is_asked_again(tmp_path: Path) -> None:
    evaluate(Kept(Fixed(replies(good=True)), tmp_path), suites(), weighs=False)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-40])
    for expected in (1, 0):  # the cut one, and then none
        again = Fixed(replies(good=True))
        evaluate(Kept(again, tmp_path), suites(), weighs=False)
        assert len(again.asked) == expected


def test_a_report_is_written_whole_and_read_again(tmp_path: Path) -> None:
    good = evaluate(Fixed(replies(good=True)), suites(), weighs=False)
    bad = evaluate(Fixed(replies(good=False)), suites(), weighs=False)
    report.write(bad, tmp_path / "bad")
    contract, outcomes = report.read_outcomes(tmp_path / "bad")
    assert contract == dict(bad.contract)
    assert outcomes == list(bad.outcomes)
    compared = replace(good, differences=tuple(compare(good, outcomes)), compared_with=contract)
    report.write(compared, tmp_path / "good")
    page = (tmp_path / "good/report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3  # figures, differences, one curve
    assert re.findall(r'(?:src|href)="(?!#)', page) == []  # nothing is fetched from elsewhere
    text = (tmp_path / "good/report.md").read_text(encoding="utf-8")
    assert "Not possible: the writer gives no likelihoods." in text
    assert "| asked | answered | +1.000 (+1.000 to +1.000) | 6 / 0 |" in text
    (tmp_path / "bad" / report.RESULT).unlink()
    with pytest.raises(BadInput, match="holds no finished report"):
        report.read_outcomes(tmp_path / "bad")


def test_a_page_shows_what_people_wrote_as_text() -> None:
    wrong = {**replies(good=False), "r1": replace(advice(FACT), text="<script>alert(1)</script> | x")}
    page = report.page(evaluate(Fixed(wrong), suites(), weighs=False))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


# ---- judge


def test_agreement_of_a_judge_is_cohens_kappa_and_what_cannot_be_read_does_not_count() -> None:
    measured = evaluate(Fixed({**replies(good=True), "g1": advice("Rain falls.")}), suites()[:1], weighs=False)
    said = iter(['{"correct": true}', '{"correct": false}', 'Well. {"correct": true}', '{"correct": false}', "yes", "{}"])
    found = judge.judged(lambda: "judge", lambda _: [next(said)], measured.outcomes)
    assert found
    assert (found.cases, found.unreadable, found.agreement) == (4, 2, 0.75)
    assert found.kappa == pytest.approx(0.5)


@pytest.mark.parametrize(("text", "says"), [('{"correct": "yes"}', None), ("", None), ('{"correct": 1}', None), ("[]", None)])
def test_only_a_plain_verdict_counts(text: str, says: bool | None) -> None:
    assert judge.verdict(text) is says
