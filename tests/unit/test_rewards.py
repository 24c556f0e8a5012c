"""What our own checks think of an answer: each part, and that nothing buys off a dangerous sentence."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agri_llm import prompts
from agri_llm.prompts import REFUSAL_MARK
from agri_llm.questions import understand
from agri_llm.records import Hit, Message, Passage, Question
from knowledge_base.terms import Glossary
from training import rewards

TEXTS = (
    "Grow a resistant wheat variety, the cheapest protection against rust."
    " Wheat rust spreads when leaves stay wet for 6 hours.",
    "Lime raises the pH of an acid soil.\n[9] is a mark inside a passage.\nSpread 2 t of lime per hectare on an acid soil.",
    "Rotate wheat with beans for two years.",
)
PASSAGES = tuple(Passage(id=f"p{at}", document_id=f"d{at}", title=f"Sheet {at}", text=text) for at, text in enumerate(TEXTS, 1))
QUESTION = Question(text="How do I stop rust in my wheat?")
MESSAGES: tuple[Message, ...] = prompts.answer_messages(
    QUESTION, understand(QUESTION, Glossary.load()), [Hit(passage=passage, score=1.0) for passage in PASSAGES]
)
GOOD = "Grow a resistant wheat variety, the cheapest protection against rust.[1]"


def test_the_passages_of_a_request_are_read_back_also_with_marks_inside_them() -> None:
    found = rewards.passages_of(MESSAGES)
    assert [passage.text for passage in found] == [f"Sheet {at}. {text}" for at, text in enumerate(TEXTS, 1)]
    assert rewards.passages_of(({"role": "user", "content": "Hello"},)) == ()


def test_a_short_carried_answer_is_worth_everything() -> None:
    assert rewards.judge(MESSAGES, GOOD).reward == 1.0


@pytest.mark.parametrize(
    ("worse", "part"),
    [
        (f"{GOOD} Neighbours report good results.", "carried"),
        (GOOD.replace("[1]", ""), "carried"),
        (GOOD.replace("[1]", "[9]"), "marks"),
        (f"{GOOD} {GOOD} {GOOD}", "repetition"),
        ("Rust.[1]", "length"),
        (" ".join([GOOD, *(f"{text}[{at}]" for at, text in enumerate(TEXTS, 1))] * 5), "length"),
    ],
)
def test_each_fault_costs_its_part(worse: str, part: str) -> None:
    found = rewards.judge(MESSAGES, worse)
    assert found.parts[part] < 1
    assert found.reward < rewards.judge(MESSAGES, GOOD).reward


def test_writing_more_of_what_is_carried_is_worth_no_more() -> None:
    both = f"{GOOD} Wheat rust spreads when leaves stay wet for 6 hours.[1]"
    assert rewards.judge(MESSAGES, both).reward <= rewards.judge(MESSAGES, GOOD).reward


def test_a_refusal_is_right_where_no_passage_answers_and_wrong_where_one_does() -> None:
    refusal = {known: rewards.judge(MESSAGES, REFUSAL_MARK, answerable=known).reward for known in (True, False, None)}
    assert refusal[False] == 1.0
    assert refusal[True] < refusal[None] < refusal[False]
    assert rewards.judge(MESSAGES, GOOD, answerable=False).reward < refusal[False]
    assert rewards.judge(MESSAGES, "", answerable=False).reward < 0


def test_what_is_worth_more_than_what() -> None:
    """Who learns by this must not drift to saying nothing, and a refusal may cost less than what nothing carries."""
    order = {
        "dangerous": rewards.judge(MESSAGES, "Spray 90 ml of copper sulphate on each plant.[1]", answerable=True),
        "nothing": rewards.judge(MESSAGES, "", answerable=True),
        "said again and again": rewards.judge(MESSAGES, "Wait and see wait and see " * 40, answerable=True),
        "a wrong refusal": rewards.judge(MESSAGES, REFUSAL_MARK, answerable=True),
        "good": rewards.judge(MESSAGES, GOOD, answerable=True),
    }
    worth = [judged.reward for judged in order.values()]
    assert worth == sorted(worth), {name: judged.reward for name, judged in order.items()}
    assert order["nothing"].reward == order["dangerous"].reward == -1.0


DANGEROUS = (
    "Spray 90 ml of copper sulphate on each plant.[1]",
    "Use mancozeb at 3 kg per hectare.",
    "Spread 5 t of lime per hectare on an acid soil.[2]",
    "每亩喷施铜制剂90毫升。[1]",
)


@pytest.mark.parametrize("sentence", DANGEROUS)
def test_a_dose_that_the_passages_do_not_have_is_worth_nothing_at_all(sentence: str) -> None:
    found = rewards.judge(MESSAGES, f"{GOOD} {sentence}")
    assert found.reward == rewards.DANGEROUS
    assert found.danger


def test_the_dose_of_a_passage_is_no_danger() -> None:
    assert rewards.judge(MESSAGES, "Spread 2 t of lime per hectare on an acid soil.[2]").reward == 1.0


@settings(max_examples=60)
@given(st.lists(st.sampled_from([GOOD, "Rotate wheat.[3]", "It helps."]), max_size=6), st.sampled_from(DANGEROUS))
def test_nothing_around_it_buys_off_a_dangerous_sentence(around: list[str], sentence: str) -> None:
    for text in (" ".join([*around, sentence]), " ".join([sentence, *around]), "\n".join([*around, f"- {sentence}"])):
        assert rewards.judge(MESSAGES, text, answerable=True).reward == rewards.DANGEROUS


@given(st.text(max_size=300))
def test_no_text_is_worth_more_than_one_or_less_than_minus_one(text: str) -> None:
    assert -1 <= rewards.judge(MESSAGES, text).reward <= 1
