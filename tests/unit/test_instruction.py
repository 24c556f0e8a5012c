"""Rows made of sheets: answers the assistant would give, refusals that nothing shown answers, questions back."""

from __future__ import annotations

from collections import Counter

import pytest
import regex
from some_sheets import copied, passages

from agri_llm import prompts, safety
from agri_llm.doses import has_rate
from agri_llm.phrases import phrase
from agri_llm.records import Passage, Question
from agri_llm.sentences import split
from knowledge_base.documents import Document
from knowledge_base.passages import cut
from knowledge_base.texts import Page
from training import document_questions, instruction, question_forms, unanswerable
from training.data_check import uncited
from training.library import Library
from training.rows import Row, question_of

NAMED = ("disease", "pest", "nutrient", "input")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library.of(passages(copied(tmp_path_factory.mktemp("sheets"))), ("en", "zh"))


@pytest.fixture(scope="module")
def answered(library: Library) -> list[Row]:
    return list(instruction.rows(library, "sheets", library.documents))


@pytest.fixture(scope="module")
def refused(library: Library) -> list[Row]:
    return [*unanswerable.refusals(library, "sheets", library.documents), *unanswerable.off_topic(library, "sheets")]


@pytest.fixture(scope="module")
def unclear(library: Library) -> list[Row]:
    return list(unanswerable.clarifications(library, "sheets"))


def shown_in(library: Library, row: Row) -> list[Passage]:
    """The passages in the request of a row, found again in the library by their text."""
    by_text = {passage.text: passage for own in library.documents.values() for passage in own}
    body = row.messages[-2]["content"].split("\n\nQuestion: ")[0]
    starts = [found.start() for found in regex.finditer(r"^\[\d+\] ", body, regex.MULTILINE)]
    pieces = [body[begin:end] for begin, end in zip(starts, [*starts[1:], len(body)], strict=True)]
    return [next(passage for text, passage in by_text.items() if text in piece) for piece in pieces]


def test_every_kind_of_section_is_asked_about_in_both_languages(answered: list[Row]) -> None:
    counts = Counter((row.kind, row.language) for row in answered)
    assert min(counts[(kind, language)] for kind in ("grounded", "followup") for language in ("en", "zh")) >= 8
    assert len(answered) / 16 > 12  # rows a sheet


def test_every_sentence_of_an_answer_passes_the_checks_of_safety(library: Library, answered: list[Row]) -> None:
    def names(text: str) -> set[str]:
        return library.named(text, NAMED)

    for row in answered:
        shown = shown_in(library, row)
        for line in (line for line in row.messages[-1]["content"].splitlines() if line):
            for span in split(line):
                assert isinstance(safety.check_sentence(span.text, shown, names), safety.Supported), (span.text, row.id)
        assert uncited(row) == ""


def test_an_answer_cites_the_document_that_was_asked_about_and_the_other_passages_are_of_others(
    library: Library, answered: list[Row]
) -> None:
    positions = Counter()
    for row in answered:
        shown = shown_in(library, row)
        cited = {int(number) for number in regex.findall(r"\[(\d+)\]", row.messages[-1]["content"])}
        positions.update(cited)
        assert {library.group(shown[number - 1].document_id) for number in cited} == {row.group}
        others = [one for one in shown if library.group(one.document_id) != row.group]
        assert others, "a question without distractors teaches nobody to choose"
    assert len(positions) >= 4, "the passage that answers must not always stand first"


def test_the_request_is_the_very_one_that_serving_sends(library: Library) -> None:
    document = "potato-late-blight"
    asked = next(iter(document_questions.of(library, document)))
    row = instruction.grounded(library, asked, "sheets")
    assert row is not None
    understood_request = library.request(asked.question, shown_in(library, row))
    assert row.messages[:-1] == understood_request
    assert prompts.REFUSAL_MARK in row.messages[0]["content"]


def test_the_same_documents_give_the_same_rows(library: Library, answered: list[Row]) -> None:
    some = list(library.documents)[:3]
    again = list(instruction.rows(Library(documents=library.documents), "sheets", some))
    assert again == [row for row in answered if row.id in {one.id for one in again}]


def test_an_advice_against_chemicals_in_hand_ends_with_the_label(library: Library, answered: list[Row]) -> None:
    sprayed = [row for row in answered if "spray" in question_of(row).lower() and row.language == "en"]
    assert sprayed
    assert all("label" in row.messages[-1]["content"].lower() for row in sprayed)


def test_a_question_why_names_the_advice_and_the_answer_its_reason(answered: list[Row]) -> None:
    why = [row for row in answered if question_of(row).startswith("Why should I")]
    assert len(why) >= 5
    assert all(", because " in row.messages[-1]["content"] for row in why)


def test_a_refused_question_is_answered_by_no_passage_beside_it(library: Library, refused: list[Row]) -> None:
    forms = question_forms.forms()
    said_nowhere = {form for language in ("en", "zh") for form in forms["off_topic"][language]}
    for row in refused:
        shown = shown_in(library, row)
        assert row.messages[-1]["content"] == prompts.REFUSAL_MARK
        assert 2 <= len(shown) <= 6
        if all(library.group(one.document_id) != row.group for one in shown) and question_of(row) not in said_nowhere:
            own = [one for document in library.documents for one in library.documents[document]]
            sheet = [one for one in own if library.group(one.document_id) == row.group and one.language == row.language]
            topic = question_forms.topic_of(sheet)
            problems = library.named(topic, unanswerable.PROBLEMS)
            for passage in shown:
                text = f"{passage.title}. {passage.heading}. {passage.text}"
                assert not problems & library.named(text, unanswerable.PROBLEMS), (question_of(row), passage.id)


def test_a_dose_is_refused_beside_the_passage_that_names_the_product_without_one(library: Library, refused: list[Row]) -> None:
    doses = [row for row in refused if regex.search(r"How many|What dose|多少|几克|倍", question_of(row))]
    doses = [row for row in doses if "钱" not in question_of(row) and "减产" not in question_of(row)]
    assert len(doses) >= 4
    for row in doses:
        assert not any(has_rate(one.text) for one in shown_in(library, row) if library.group(one.document_id) == row.group)


def test_what_is_asked_back_is_what_the_assistant_asks(library: Library, unclear: list[Row]) -> None:
    asked = [row for row in unclear if row.kind == "clarification"]
    assert {row.language for row in asked} == {"en", "zh"}
    for row in asked:
        assert row.messages[-1]["content"].startswith(phrase(row.language, "ask"))
        answer = library.answer(Question(text=question_of(row)), shown_in(library, row), ())
        assert answer.kind == "clarification"
        assert answer.text == row.messages[-1]["content"]


def test_a_reply_to_a_question_back_is_answered_with_the_earlier_question_beside_it(unclear: list[Row]) -> None:
    replies = [row for row in unclear if row.kind == "followup"]
    assert replies
    assert all("Earlier question: " in row.messages[-2]["content"] for row in replies)


def test_a_document_that_is_no_sheet_is_asked_about_by_its_headings() -> None:
    text = (
        "# Bees\n\n## Feeding bees\nFeed weak colonies of bees with sugar syrup in early spring, before the willows flower.\n"
    )
    page = Page(text=text)
    document = Document(id="bees", title="Bees", pages=(page,), kind="markdown", path="bees.md", language="en")
    other = Document(
        id="goats", title="Goats", path="goats.md", kind="plain", language="en",
        pages=(Page(text="Goats need clean water every day and shade from the sun at noon."),),
    )  # fmt: skip
    library = Library.of([*cut(document), *cut(other)], ("en",))
    rows = list(instruction.rows(library, "own", ["bees"]))
    assert ["Feeding bees" in question_of(row) for row in rows] == [True]
    assert "sugar syrup" in rows[0].messages[-1]["content"]


def test_a_title_stands_in_a_sentence_as_people_write_it(library: Library) -> None:
    assert question_forms.topic_of(library.documents["potato-late-blight"]) == "late blight of potato"
    assert question_forms.topic_of(library.documents["liming-acid-soils"]) == "liming acid soils"
    passage = Passage(
        id="a", document_id="a", title="Fusarium wilt of banana (Panama disease)", text="The fungus Fusarium lives in soil."
    )
    assert question_forms.topic_of([passage]) == "Fusarium wilt of banana"


def test_a_verb_is_not_taken_for_a_leaf_nor_a_look_alike_for_the_problem(library: Library) -> None:
    assert document_questions.signs_in(library, "The sweet potato weevil leaves round holes in the skin.", "en")[0] == ""
    assert document_questions.signs_in(library, "Early blight differs, because its leaves have dry spots.", "en") == ("", [])
    assert document_questions.signs_in(library, "Dark spots come first on the lower leaves.", "en") == ("leaf", ["spots"])
    assert document_questions.signs_in(library, "叶片上先出现黑色斑点。", "zh") == ("leaf", ["spots"])


def test_a_document_without_headings_is_asked_about_what_its_passages_name(library: Library) -> None:
    about_rust = "Rust of wheat spreads by wind. Against rust choose a resistant variety, because rust needs a host plant."
    about_mulch = "Mulch keeps water in the soil. Spread mulch between the rows before the dry season begins."
    texts = ["Published by the ministry.", about_rust, about_mulch, "The river was high that year."]
    pages = tuple(Page(text=text, number=number) for number, text in enumerate(texts, start=1))
    manual = Document(id="manual", title="Field manual", pages=pages, kind="plain", path="manual.pdf", language="en")
    both = Library.of([*cut(manual), *(one for own in library.documents.values() for one in own)], ("en",))
    asked = {question_of(row): row for row in instruction.rows(both, "manuals", ["manual"])}
    assert len(asked) == 2
    for thing in ("rust", "mulch"):
        (question,) = [question for question in asked if thing in question.lower()]
        assert thing in asked[question].messages[-1]["content"].lower()
        assert not uncited(asked[question])
