"""The experts' pages without a browser; the browser test does the same with real keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from streamlit.testing.v1 import AppTest
from test_page import PASSAGE, TOMATO, Script, script, shown
from test_sign_in_page import amina, colleague, of, quick_hashes

from agri_llm.judgements import CRITERIA, Account, Review
from agri_llm.records import Answer, Citation, Feedback, Question, new_id, now
from agri_llm.reviews import wants_two
from ui import agreement_page, review_form, wiring

__all__ = ["amina", "quick_hashes", "script"]
FARMER = "visitor:1"
QUOTE = "Pick off the lowest tomato leaves with early blight spots."
TEXT = f"{QUOTE}[1]\nWater the soil and not the tomato leaves.[1]"


@pytest.fixture
def boris(amina: Account) -> Account:
    """An agronomist."""
    return colleague(amina)


def given(text: str = TEXT, asked: str = TOMATO, people: int = 1, **details: object) -> Answer:
    """An answer that a farmer got, which wants so many reviewers."""
    question = Question(text=asked, crop="tomato", place="Kisii, Kenya")
    its_id = new_id()
    while wants_two(its_id) != (people == 2):
        its_id = new_id()
    cited = (Citation(number=1, passage=PASSAGE, quote=QUOTE),)
    parts: dict[str, object] = {"kind": "advice", "citations": cited, "passages": (PASSAGE,), "model": "secret-model"} | details
    made = Answer(id=its_id, question=question, text=text, adapter="run-7", **parts)  # type: ignore[arg-type]
    wiring.store().save_turn(owner=FARMER, conversation_id=None, answer=made)
    return made


def voted_down(answer: Answer, correction: str = "") -> Feedback:
    vote = Feedback(
        answer_id=answer.id, rating="down", author=FARMER, reasons=("unsafe",), comment="My goat ate it", correction=correction
    )
    wiring.store().save_feedback(FARMER, vote)
    return vote


def open_page(name: str = "Boris") -> AppTest:
    return of("ui.review_page", name)


def scored(app: AppTest, score: int = 5) -> AppTest:
    for _ in CRITERIA:
        app.button(key=f"pad-{score}").click().run()
    return app


def save(app: AppTest) -> AppTest:
    return app.button(key="save").click().run()


def reviews(by: Account, answer: Answer) -> list[Review]:
    return wiring.store().reviews.of_answer(by.id, answer.id)


def everything(app: AppTest) -> str:
    areas = "\n".join(str(area.value) for area in app.text_area)
    return shown(app) + areas


# What is seen


def test_an_answer_is_shown_with_its_question_and_passage_and_without_who_wrote_it(boris: Account) -> None:
    answer = given()
    voted_down(answer)
    app = open_page()
    seen = everything(app)
    for wanted in (TOMATO, "Kisii, Kenya", "called unsafe", "it is unsafe", "My goat ate it", f"<mark>{QUOTE}</mark>"):
        assert wanted in seen
    for hidden in ("secret-model", "run-7", FARMER, answer.id[:8] + "-model"):
        assert hidden not in seen
    assert "1 waiting" in seen
    assert not app.exception


def test_a_page_without_anything_to_do_says_so(boris: Account) -> None:
    app = open_page()
    assert "Nothing waits" in shown(app)
    given()
    app.button(key="review-again").click().run()
    assert TOMATO in shown(app)


def test_guests_are_kept_out(script: Script) -> None:
    def only() -> None:
        from ui import review_page

        review_page.show()

    assert "not signed in" in AppTest.from_function(only).run().exception[0].message


# Scores


def test_a_plain_good_answer_takes_six_clicks_and_the_next_one_is_there(boris: Account) -> None:
    first, second = given(), given(asked="How do I water tomatoes?")
    app = open_page()
    assert "How do I water" in shown(app)  # of equals the newest
    save(scored(app))
    assert TOMATO in shown(app)
    assert "1 done today" in shown(app)
    (kept,) = reviews(boris, second)
    assert kept.scores == dict.fromkeys(CRITERIA, 5)
    assert (kept.wrong, kept.citations, kept.correction, kept.comment) == ((), {}, "", "")
    assert kept.seconds is not None
    assert reviews(boris, first) == []


def test_each_key_scores_the_criterion_that_is_asked_for_and_undo_takes_the_last_back(boris: Account) -> None:
    answer = given()
    app = open_page()
    for score in (5, 4, 1):
        app.button(key=f"pad-{score}").click().run()
    assert "2 of 5 to score" in shown(app)
    app.button(key="undo").click().run()
    for score in (3, 2, 1):
        app.button(key=f"pad-{score}").click().run()
    app.button(key="again-completeness").click().run()
    app.button(key="pad-2").click().run()
    save(app)
    assert list(reviews(boris, answer)[0].scores.values()) == [5, 2, 3, 2, 1]


def test_keys_that_come_at_once_have_no_order_so_none_counts(boris: Account) -> None:
    given()
    account, app = boris, open_page()
    app.button(key="pad-4").click().run()
    draft = app.session_state["review-open"]
    review_form._score(account, draft, 1)
    review_form._score(account, draft, 5)
    review_form._score(account, draft, 3)
    assert review_form.unscored(draft) == list(CRITERIA[1:])
    app.run()
    assert "one after the other" in app.error[0].value
    draft.deaf_until = 0
    app.button(key="pad-2").click().run()
    assert (draft.said["score-completeness"], len(app.error)) == (2, 0)


def test_without_all_scores_nothing_is_saved_and_it_says_why(boris: Account) -> None:
    answer = given()
    app = open_page()
    app.button(key="pad-4").click().run()
    save(app)
    assert "all five are needed" in app.error[0].value
    assert reviews(boris, answer) == []


def test_every_criterion_has_anchors_and_keys_that_are_free(boris: Account) -> None:
    given()
    app = open_page()
    keys = [button.proto.shortcut for button in app.button if button.proto.shortcut]
    assert len(keys) == len(set(keys))
    assert {"1", "2", "3", "4", "5", "s"} <= set(keys)
    seen = []
    for _ in CRITERIA:
        seen.append(next(caption.value for caption in app.caption if "**1**" in caption.value))
        app.button(key="pad-3").click().run()
    assert len(set(seen)) == len(CRITERIA)


# What is said besides


def part(app: AppTest, name: str, answer: Answer) -> str:
    return f"{name}-{answer.id}"


def test_spans_citations_and_comment_are_kept(boris: Account) -> None:
    answer = given()
    app = scored(open_page(), 2)
    app.pills(key=part(app, "wrong", answer)).set_value([1]).run()
    app.segmented_control(key=part(app, "cited-1", answer)).set_value("does_not").run()
    app.text_area(key=part(app, "comment", answer)).set_value("Not in my district.").run()
    save(app)
    (kept,) = reviews(boris, answer)
    ((start, end),) = kept.wrong
    assert answer.text[start:end] == "Water the soil and not the tomato leaves.[1]"
    assert (kept.citations, kept.comment) == ({1: "does_not"}, "Not in my district.")


def test_a_correction_that_its_sources_do_not_carry_is_refused_by_sentence_and_nothing_is_lost(boris: Account) -> None:
    answer = given()
    app = scored(open_page(), 3)
    box = part(app, "correction", answer)
    app.text_area(key=box).set_value(f"{QUOTE}[1]\nSpray 5 kg of copper per hectare.[1]\nBurn the field.").run()
    save(app)
    said = "\n".join(error.value for error in app.error)
    assert "Spray 5 kg of copper" in said
    assert "Burn the field" in said
    assert "no number of a source" in said
    assert QUOTE not in said
    assert reviews(boris, answer) == []
    assert "Spray 5 kg" in str(app.text_area(key=box).value)
    app.text_area(key=box).set_value(f"{QUOTE}[1]").run()
    save(app)
    assert reviews(boris, answer)[0].correction == f"{QUOTE}[1]"


def test_an_answer_without_sources_can_be_commented_but_not_corrected(boris: Account) -> None:
    answer = given("Ask the office.", kind="refusal", citations=(), passages=())
    app = scored(open_page())
    assert [area.key for area in app.text_area] == [part(app, "comment", answer)]
    save(app)
    assert len(reviews(boris, answer)) == 1


def test_a_signed_answer_is_served_with_the_name_for_crop_and_country(boris: Account) -> None:
    answer = given()
    app = scored(open_page())
    app.checkbox(key=part(app, "sign", answer)).check().run()
    until = now().date() + timedelta(days=40)
    app.date_input(key=part(app, "until", answer)).set_value(until).run()
    save(app)
    found = wiring.store().signed.serving(Question(text=TOMATO.upper(), crop="tomato", place="Nakuru, Kenya"), now())
    assert found is not None
    assert (found.signer_name, found.expires_at.date(), found.crop, found.region) == ("Boris", until, "tomato", "Kenya")
    assert wiring.store().signed.serving(Question(text=TOMATO, crop="tomato", place="Nepal"), now()) is None


@pytest.mark.parametrize(
    ("decided", "text", "status"), [("approved", QUOTE + "[1]", "approved"), ("rejected", "Burn it.", "rejected")]
)
def test_what_the_farmer_proposed_is_decided_with_the_review(boris: Account, decided: str, text: str, status: str) -> None:
    answer = given()
    vote = voted_down(answer, text)
    app = scored(open_page())
    app.segmented_control(key=f"decided-{vote.id}-{answer.id}").set_value(decided).run()
    save(app)
    found = wiring.store().feedback_of(FARMER, answer.id)
    assert found is not None
    assert (found.status, found.reviewer) == (status, boris.id)


def test_a_proposal_that_does_not_pass_can_be_edited_until_it_does(boris: Account) -> None:
    answer = given()
    vote = voted_down(answer, "Burn it.")
    app = scored(open_page())
    choice = f"decided-{vote.id}-{answer.id}"
    app.segmented_control(key=choice).set_value("approved").run()
    save(app)
    assert any("Burn it" in error.value for error in app.error)
    app.segmented_control(key=choice).set_value("edited").run()
    app.text_area(key=f"edited-{vote.id}-{answer.id}").set_value(f"{QUOTE}[1]").run()
    save(app)
    found = wiring.store().feedback_of(FARMER, answer.id)
    assert found is not None
    assert found.status == "edited"


# Drafts, skipping, what comes back


def test_what_was_clicked_and_typed_is_there_again_on_a_new_page(boris: Account) -> None:
    answer = given()
    app = open_page()
    app.button(key="pad-4").click().run()
    app.text_area(key=part(app, "correction", answer)).set_value("half a sen").run()
    app.pills(key=part(app, "wrong", answer)).set_value([0]).run()
    again = open_page()
    assert again.button(key="again-correctness").label == "Correct: **4**"
    assert again.text_area(key=part(again, "correction", answer)).value == "half a sen"
    assert again.pills(key=part(again, "wrong", answer)).value == [0]


def test_skipping_gives_the_item_to_colleagues(boris: Account, amina: Account) -> None:
    answer = given()
    app = open_page()
    app.button(key="skip").click().run()
    assert "Nothing waits" in shown(app)
    item = wiring.store().queue.take(amina.id, now())
    assert item is not None
    assert item.answer.id == answer.id


def test_a_correction_that_no_longer_passes_comes_back_with_the_reason(boris: Account) -> None:
    answer = given()
    scores = dict.fromkeys(CRITERIA, 2)
    wiring.store().reviews.submit(
        Review(answer_id=answer.id, reviewer=boris.id, scores=scores, correction="Burn the field.", wrong=((0, 61),))
    )
    app = open_page()
    assert "came back" in shown(app)
    assert "Burn the field" in app.error[0].value
    app.text_area(key=part(app, "correction", answer)).set_value(f"{QUOTE}[1]").run()
    save(app)
    assert reviews(boris, answer)[0].correction == f"{QUOTE}[1]"
    assert "Nothing waits" in shown(app)


def test_a_database_that_is_down_loses_nothing_that_was_typed(boris: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    from agri_llm.errors import StoreUnavailable

    answer = given()
    app = scored(open_page())

    def down(*_: object) -> None:
        raise StoreUnavailable("The database does not answer", "nothing can be saved", "try again")

    with monkeypatch.context() as broken:
        broken.setattr(wiring.store().queue, "keep_draft", down)
        broken.setattr(wiring.store().reviews, "submit", down)
        app.text_area(key=part(app, "comment", answer)).set_value("Good.").run()
        save(app)
        assert "does not answer" in app.error[0].value
    save(app)
    assert reviews(boris, answer)[0].comment == "Good."


# Comparisons


def pair() -> tuple[Answer, Answer]:
    shown_one = given()
    second = Answer(
        question=shown_one.question, kind="advice", text=f"{QUOTE}[1]", citations=shown_one.citations, passages=(PASSAGE,)
    )
    assert wiring.store().reviews.add_alternative(second)
    return shown_one, second


def compared(boris: Account) -> AppTest:
    """The page with a comparison on it; reviews of single answers are skipped."""
    app = open_page()
    while not [button for button in app.button if button.key == "choose-first"]:
        app.button(key="skip").click().run()
    return app


def test_two_answers_are_compared_in_the_order_in_which_they_were_shown(boris: Account) -> None:
    one, two = pair()
    app = compared(boris)
    assert app.button(key="save").disabled
    app.button(key="choose-second").click().run()
    save(app)
    (kept,) = wiring.store().reviews.compared(boris.id)
    assert kept.preferred == "second"
    assert {kept.first, kept.second} == {one.id, two.id}


def test_a_choice_can_be_changed_until_it_is_saved(boris: Account) -> None:
    pair()
    app = compared(boris)
    app.button(key="choose-first").click().run()
    app.button(key="choose-both_bad").click().run()
    save(app)
    assert wiring.store().reviews.compared(boris.id)[0].preferred == "both_bad"


# Agreement


def judged(by: list[Account], answers: int, score: Callable[[int, int], int]) -> None:
    for at in range(answers):
        answer = given(people=2)
        for person, account in enumerate(by):
            scores = dict.fromkeys(CRITERIA, score(at, person))
            wiring.store().reviews.submit(Review(answer_id=answer.id, reviewer=account.id, scores=scores))


def test_experts_see_the_group_and_themselves_and_nobody_by_name(boris: Account, amina: Account) -> None:
    judged([boris, amina], 22, lambda at, person: 1 + at % 5)
    seen = shown(of("ui.agreement_page", "Boris"))
    assert "22 of 22 reviewed answers" in seen
    assert "agree: reliable" in seen
    assert "Everybody, by name" not in seen
    assert "Amina" not in seen


def test_the_administrator_sees_everybody_and_who_answers_like_dice_first(boris: Account, amina: Account) -> None:
    dice = colleague(amina, "Zoe")
    judged([boris, amina, dice], 30, lambda at, person: 1 + at % 5 if person < 2 else 1 + (at * 7 + at // 3) % 5)
    app = of("ui.agreement_page", "Amina")
    names = [text.value for text in app.markdown if text.value in ("**Boris**", "**Amina**", "**Zoe**")]
    assert names[0] == "**Zoe**"
    assert len(names) == 3
    assert sum("dice" in warning.value for warning in app.warning) == 1
    by_name = [html.value for html in app.get("html") if "All five together" in html.value]
    assert sum("agree: reliable" in html for html in by_name) == 3  # the two careful ones, and one of them as "you"
    assert sum("like chance" in html for html in by_name) == 1


def test_a_page_without_reviews_says_that_there_is_nothing_to_say(boris: Account, amina: Account) -> None:
    seen = shown(of("ui.agreement_page", "Amina"))
    assert "0 of 0" in seen
    assert "Nobody has reviewed" in seen


@pytest.mark.parametrize(
    ("value", "low", "expected"),
    [
        (0.9, 0.8, "reliable"),
        (0.8, 0.5, "reliable"),
        (0.7, 0.5, "shaky"),
        (0.5, 0.1, "weak"),
        (0.5, -0.1, "chance"),
        (None, None, "few"),
    ],
)
def test_an_agreement_is_said_in_a_word(value: float | None, low: float | None, expected: str) -> None:
    assert agreement_page.level(value, low) == expected


# Speed


def test_many_answers_in_a_row_and_how_long_each_step_takes(boris: Account, capsys: pytest.CaptureFixture[str]) -> None:
    for at in range(60):
        given(asked=f"How do I water tomato number {at}?")
    app = open_page()
    clicks, nexts = [], []
    for _ in range(3):
        for _ in CRITERIA:
            begun = time.perf_counter()
            app.button(key="pad-5").click().run()
            clicks.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        save(app)
        nexts.append(time.perf_counter() - begun)
    with capsys.disabled():
        print(f"\na score: {1000 * max(clicks):.0f} ms at most; save and next: {1000 * max(nexts):.0f} ms at most")  # noqa: T201 - measured figures
    assert len(nexts) == 3
