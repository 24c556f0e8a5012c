"""Passages are parts of their page word for word, with stable ids, and no two say the same."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agri_llm.records import Passage
from knowledge_base.documents import Document, Kind
from knowledge_base.passages import cut, cut_all, measure
from knowledge_base.texts import Page

SENTENCE = "Late blight of potato spreads fast in cool and wet weather on the hills. "  # 14 words


def document(*texts: str, kind: Kind = "markdown", name: str = "sheet", title: str = "Late blight") -> Document:
    numbered = len(texts) > 1 or kind == "plain"
    pages = tuple(Page(text=text, number=number if numbered else None) for number, text in enumerate(texts, start=1))
    return Document(id=name, title=title, pages=pages, kind=kind, path=f"{name}.md")


def sentences(count: int, *, about: str = "potato") -> str:
    return " ".join(f"Sentence {number} says something of its own on the {about}." for number in range(count))


def test_a_passage_carries_everything_its_document_says_about_itself() -> None:
    source = replace(
        document(SENTENCE),
        url="https://example.org",
        licence="CC-BY-4.0",
        region=("africa",),
        crop=("potato",),
        topic=("disease",),
        language="fr",
        published="2026",
        sources=("FAO: Potato (2010)",),
        pages=(Page(text=SENTENCE, number=3, label="iii"),),
    )
    (passage,) = cut(source)
    assert re.fullmatch(r"sheet#[0-9a-f]{8}", passage.id)
    assert passage == Passage(
        id=passage.id,
        document_id="sheet",
        title="Late blight",
        text=SENTENCE.strip(),
        page=3,
        page_label="iii",
        url="https://example.org",
        licence="CC-BY-4.0",
        region=("africa",),
        crop=("potato",),
        topic=("disease",),
        language="fr",
        published="2026",
        sources=("FAO: Potato (2010)",),
    )


def test_passages_stay_under_one_heading_path() -> None:
    text = "# Late blight\n\nFirst words.\n\n## What to do ##\n\n### Cultural\nSecond words.\n"
    text += "### *Chemical*\nThird words.\n# Other\nFourth."
    assert [(passage.heading, passage.text) for passage in cut(document(text))] == [
        ("", "First words."),
        ("What to do > Cultural", "Second words."),
        ("What to do > Chemical", "Third words."),
        ("Other", "Fourth."),
    ]


def test_a_number_sign_in_code_or_in_a_plain_text_is_no_heading() -> None:
    (passage,) = cut(document("Run this:\n\n```\n# not a heading\nrun\n```\n\nThen rest."))
    assert "# not a heading" in passage.text
    (plain,) = cut(document("# 1 Wash hands.\n# 2 Dry hands.", kind="plain"))
    assert plain.heading == ""
    assert "# 2 Dry hands." in plain.text


def test_headings_go_on_over_pages_but_passages_do_not() -> None:
    passages = cut(document("# Late blight\n## Signs\nDark spots", "on the leaves.\n## Cure\nNone is known."))
    assert [(passage.page, passage.heading, passage.text) for passage in passages] == [
        (1, "Signs", "Dark spots"),
        (2, "Signs", "on the leaves."),
        (2, "Cure", "None is known."),
    ]


def test_every_passage_has_the_number_of_the_page_that_holds_it() -> None:
    pages = [sentences(30, about=f"page {number}") for number in range(1, 6)]
    passages = cut(document(*pages, kind="plain"))
    assert {passage.page for passage in passages} == {1, 2, 3, 4, 5}
    for passage in passages:
        assert passage.page is not None
        assert passage.text in pages[passage.page - 1]


def test_paragraphs_fill_passages_up_to_the_size() -> None:
    passages = cut(document("\n\n".join(sentences(4, about=f"field {number}") for number in range(20))))
    sizes = [measure(passage.text) for passage in passages]
    assert all(100 < size <= 175 for size in sizes[:-1])
    assert all(passage.text.endswith(".") for passage in passages)


def test_a_long_paragraph_is_cut_at_the_ends_of_sentences_only() -> None:
    tricky = "Apply 2.5 t per ha, e.g. Lime from Dr. J. Smith (see Fig. 3 on p. 4) on Zea mays var. Alba at pH 5.5 today. "
    for passage in cut(document(tricky * 60)):
        assert passage.text.startswith("Apply")
        assert passage.text.endswith("today.")


def test_a_chinese_paragraph_is_cut_by_characters_at_its_sentence_ends() -> None:
    passages = cut(document("马铃薯晚疫病在低温高湿时发生严重，应及时拔除病株。" * 60))
    assert all(passage.text.endswith("。") for passage in passages)
    assert all(200 < len(passage.text) < 330 for passage in passages)  # 200 tokens of 1.4 characters are 280


@pytest.mark.parametrize(
    "text", ["x" * 20_000, "word " * 2_000, "one, two; " * 900, "12\n" * 2_000 + "end", "." * 50_000 + "a"]
)
def test_a_text_without_sentences_is_cut_all_the_same_and_nothing_is_lost(text: str) -> None:
    passages = cut(document(text, kind="plain"))
    assert all(measure(passage.text) <= 176 for passage in passages)
    kept = sum(letter.isalnum() for passage in passages for letter in passage.text)
    assert kept == sum(letter.isalnum() for letter in text)


def test_a_short_end_is_joined_to_the_passage_before_it() -> None:
    passages = cut(document(sentences(14) + "\n\n" + sentences(2, about="hands")))  # 140 and 20: over 150, yet one passage
    assert [measure(passage.text) for passage in passages] == [160]
    passages = cut(document(sentences(14) + "\n\n" + sentences(3, about="hands")))
    assert [measure(passage.text) for passage in passages] == [140, 30]


def test_a_list_stays_with_the_line_that_introduces_it() -> None:
    items = "".join(f"- Step {number} on the potato field is done with a clean spade.\n" for number in range(8))
    passages = cut(document(f"{sentences(12)}\n\nDo this in order:\n\n{items}"))
    assert len(passages) == 2
    assert passages[1].text.startswith("Do this in order:")
    assert passages[1].text.count("- Step") == 8


def test_a_list_that_is_too_long_is_cut_between_its_items() -> None:
    items = [f"- Step {number} on the potato field is done\n  with a clean spade." for number in range(40)]
    passages = cut(document("Do this:\n" + "\n".join(items)))
    assert len(passages) > 2
    assert passages[0].text.startswith("Do this:\n- Step 0")
    assert [item for passage in passages for item in items if item in passage.text] == items


def test_a_table_is_never_cut_inside_a_row_and_repeats_its_header() -> None:
    header = "| Crop | Lime in tonnes per hectare | Remark |\n|---|---|---|\n"
    rows = [f"| Crop {number} | {number}.5 | Never on the same day as the manure of the cattle |\n" for number in range(60)]
    passages = cut(document("Lime for crops:\n\n" + header + "".join(rows) + "\nMeasure pH first on every field."))
    assert len(passages) > 3
    assert passages[0].text.startswith("Lime for crops:")
    assert all(passage.text.count(header) == 1 for passage in passages)
    assert [row for passage in passages for row in rows if row.strip() in passage.text] == rows
    assert all(measure(passage.text) <= 190 for passage in passages)


def test_a_title_in_a_plain_text_goes_with_what_follows_it() -> None:
    text = "".join(f"618.{number} Soil Responsibilities\nA. Field Work\n(1) {sentences(5)}\n" for number in range(12))
    for passage in cut(document(text, kind="plain")):
        assert not re.search(r"(Responsibilities|Field Work)$", passage.text)


def test_a_row_stays_whole_up_to_one_and_a_half_times_the_size() -> None:
    row = "; ".join(f"column {number}: value" for number in range(70)) + "."  # 210 words
    assert [passage.text for passage in cut(document(row, kind="row"))] == [row]
    assert len(cut(document(row + row, kind="row"))) == 3


def test_marks_and_numbers_alone_are_no_passage() -> None:
    assert [passage.text for passage in cut(document("<!-- image -->\n\n---\n\n# A\n\n</div>\n", " 12 \n", "Beans."))] == [
        "Beans."
    ]


def test_unchanged_text_keeps_its_id_whatever_else_changes() -> None:
    before = cut(document("# A\nFirst.\n# B\nSecond.\n# C\nThird."))
    after = cut(document("# Z\nNew.\n# B2\nSecond.\n# A\nFirst, changed.\n# C\nThird."))
    ids = {passage.text: passage.id for passage in after}
    assert ids["Second."] == before[1].id
    assert ids["Third."] == before[2].id
    assert ids["First, changed."] != before[0].id


def test_the_same_text_twice_in_a_document_has_two_ids() -> None:
    first, second = cut(document("# A\nWash hands.\n# B\nWash hands."))
    assert second.id == f"{first.id}-2"


def test_equal_and_nearly_equal_passages_are_kept_once_and_the_first_is_kept() -> None:
    text = sentences(14)
    other = text.removesuffix("potato.") + "field."
    sources = {"a": text, "b": text, "c": other, "d": "Wash."}
    passages = cut_all(document(text, name=name) for name, text in sources.items())
    assert [passage.document_id for passage in passages] == ["a", "d"]


@pytest.mark.parametrize("change", ["4 tonnes per hectare now", "2 tonnes per hectare not"])
def test_passages_that_differ_in_a_number_or_a_not_are_both_kept(change: str) -> None:
    text = sentences(13) + " Spread lime on the maize field at 2 tonnes per hectare now."
    passages = cut_all([document(text, name="a"), document(text.replace("2 tonnes per hectare now", change), name="b")])
    assert [passage.document_id for passage in passages] == ["a", "b"]


def test_short_passages_are_dropped_only_when_equal() -> None:
    text = "Never eat treated seed of maize or of beans because the coating on it is a poison for people."
    passages = cut_all([document(text, name="a"), document(text.replace("Never", "Often"), name="b"), document(text, name="c")])
    assert [passage.document_id for passage in passages] == ["a", "b"]


def test_different_passages_are_all_kept_in_their_order() -> None:
    sources = [document(sentences(12, about=f"crop{number} x{number}"), name=f"d{number}") for number in range(50)]
    assert [passage.document_id for passage in cut_all(sources)] == [source.id for source in sources]


# Markdown as people write it: headings with text under them, paragraphs, lists, code, several scripts and odd signs.
words = st.text(st.characters(codec="utf-8", categories=["L", "N"]) | st.sampled_from("-,'’°%.。"), min_size=1, max_size=12)
lines = st.lists(words, min_size=1, max_size=25).map(lambda found: "a " + " ".join(found))
paragraphs = st.lists(lines, min_size=1, max_size=4).map(lambda found: ". ".join(found) + ".")
bullets = st.lists(lines.map(lambda line: f"- {line}"), min_size=1, max_size=8).map("\n".join)
code = lines.map(lambda line: f"```\n# {line}\n```")
parts = st.lists(paragraphs | bullets | code, min_size=1, max_size=6).map("\n\n".join)
sections = st.tuples(st.integers(1, 6), lines, parts).map(lambda section: f"{'#' * section[0]} {section[1]}\n\n{section[2]}")
markdown = st.tuples(parts, st.lists(sections, max_size=5)).map(lambda text: "\n\n".join([text[0], *text[1]]))


@settings(max_examples=60, deadline=None)
@given(text=markdown, size=st.sampled_from([20, 60, 150]))
def test_every_passage_stands_in_the_document_and_every_word_in_a_passage(text: str, size: int) -> None:
    passages = cut(document(text), words=size)
    assert all(passage.text in text for passage in passages)
    assert all(passage.text == passage.text.strip() != "" for passage in passages)
    assert len({passage.id for passage in passages}) == len(passages)
    found = {word for passage in passages for word in f"{passage.text} {passage.heading}".split()}
    left = {word for word in text.split() if word.strip("#") and word not in found}
    # A word longer than a passage, or one in a script without spaces, may be cut in two.
    assert not {word for word in left if measure(word) < 2 and not re.search(r"[\u0e00-\u9fff.。]", word)}
    held = "".join("".join(f"{passage.heading}{passage.text}".split()) for passage in passages)
    for letter in {letter for letter in text if letter.isalnum()}:
        assert letter in held


@settings(max_examples=100, deadline=None)
@given(
    text=st.text(st.sampled_from(" \t\n#|-*`~.:<>!{}aB1。"), max_size=300), kind=st.sampled_from(["markdown", "plain", "row"])
)
def test_any_text_at_all_is_cut_into_verbatim_passages(text: str, kind: Kind) -> None:
    for passage in cut(document(text, kind=kind), words=20):
        if "|" not in text:
            assert passage.text in text
