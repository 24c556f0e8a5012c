"""Texts are cut into sentences where people would cut them, whole or in pieces, and no character loses its place."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agri_llm.content import content_words, stem, stems
from agri_llm.sentences import split, take_complete


def texts(text: str) -> list[str]:
    return [span.text for span in split(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Apply 2.5 l/ha. Then wait.", ["Apply 2.5 l/ha.", "Then wait."]),
        ("Use a mulch, e.g. straw. Next one.", ["Use a mulch, e.g. straw.", "Next one."]),
        ("Use mulch, e.g. Napier grass. Then wait.", ["Use mulch, e.g. Napier grass.", "Then wait."]),
        ("Eggs of H. armigera are white. They hatch.", ["Eggs of H. armigera are white.", "They hatch."]),
        ("It likes 25 to 28 °C. Next, look.", ["It likes 25 to 28 °C.", "Next, look."]),
        ("Wait 14 days (PHI). Harvest then.", ["Wait 14 days (PHI).", "Harvest then."]),
        ("See fig. 3. Then go.", ["See fig. 3.", "Then go."]),
        ("Use 3 kg. 5 plants died.", ["Use 3 kg.", "5 plants died."]),
        ("Cost no. 5 is fine. So go.", ["Cost no. 5 is fine.", "So go."]),
        ("He said “stop.” Then he went.", ["He said “stop.”", "Then he went."]),
        ("Wait... Then go. What?! Yes.", ["Wait...", "Then go.", "What?!", "Yes."]),
        ("Sow in Jan. and Feb. only. March is late.", ["Sow in Jan. and Feb. only.", "March is late."]),
        ("A file.txt and 1.5.2 stay whole.", ["A file.txt and 1.5.2 stay whole."]),
        (
            "- One thing. Two things.\n- Third\n* fourth\n1. Fifth one\n2) Sixth",
            ["One thing.", "Two things.", "Third", "fourth", "Fifth one", "Sixth"],
        ),
        ("# Head\nText under it. More.\n## Next\nx y z.", ["Head", "Text under it.", "More.", "Next", "x y z."]),
        ("| a | b |\n|---|---|\n| 1 | 2 |\nText after. More.", ["| a | b |", "|---|---|", "| 1 | 2 |", "Text after.", "More."]),
        ("Hard wrapped\nline goes on\nhere. And on\nit goes.", ["Hard wrapped\nline goes on\nhere.", "And on\nit goes."]),
        ("One\r\ntwo. Three\r\n\r\nfour", ["One\r\ntwo.", "Three", "four"]),
        ("打药前看标签。每亩20毫升！好吗？是的", ["打药前看标签。", "每亩20毫升！", "好吗？", "是的"]),
        ("他说：“好。”然后走。[1]接着。", ["他说：“好。”", "然后走。[1]", "接着。"]),
        ("Remove them [1]. Then go [2].", ["Remove them [1].", "Then go [2]."]),
        ("Remove them.[1] Then go.[2, 3] End.", ["Remove them.[1]", "Then go.[2, 3]", "End."]),
        ("Remove them. [1][2] Then go.", ["Remove them. [1][2]", "Then go."]),
        ("Apply 60 kg N.[1] Use copper.[2]", ["Apply 60 kg N.[1]", "Use copper.[2]"]),
        ("", []),
        ("  \n ", []),
    ],
)
def test_a_text_is_cut_where_people_would_cut_it(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


PIECES = st.lists(
    st.sampled_from(
        [
            "Remove them",
            "Then",
            "go",
            "2.5",
            "2",
            "l/ha",
            " ",
            "  ",
            "\n",
            "\n\n",
            "\r\n",
            ".",
            "!",
            "?",
            "。",
            "！",
            "”",
            '"',
            ")",
            "[1]",
            "[2, 3]",
            "[4，5]",
            "[",
            "]",
            "[12",
            "e.g.",
            "H.",
            "°C",
            "- ",
            "* ",
            "1. ",
            "# ",
            "| a | b |",
            "打药",
            "\t",
            "\u2028",
            "N",
            "x",
        ]
    ),
    max_size=25,
).map("".join)
ANY = st.one_of(st.text(max_size=120), PIECES)


@given(ANY)
@example("- - -\n#\n>\n|")
@example("a.\u2028b\x0c- c\x85# d")
def test_every_sentence_stands_verbatim_where_it_says(text: str) -> None:
    end = 0
    for span in split(text):
        assert span.text
        assert text[span.start : span.end] == span.text == span.text.strip()
        assert span.start >= end
        end = span.end


@given(ANY)
def test_no_word_is_lost_between_sentences(text: str) -> None:
    covered = set().union(*(range(span.start, span.end) for span in split(text)), set())
    left = "".join(character for at, character in enumerate(text) if at not in covered)
    assert not any(character.isalpha() for character in left)


def fed(pieces: list[str]) -> list[str]:
    done: list[str] = []
    buffer = ""
    for piece in pieces:
        complete, buffer = take_complete(buffer + piece)
        done.extend(complete)
    return [*done, buffer.strip()] if buffer.strip() else done


@given(ANY, st.lists(st.integers(0, 120), max_size=8))
@example("Remove them.[1] Then go.[2]", [13, 14])
@example("好。[1，2]然后", [2, 3, 4, 5])
@example("One. [12] Two", [5, 6, 7, 8])
def test_a_text_in_pieces_gives_the_same_sentences_as_at_once(text: str, cuts: list[int]) -> None:
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    pieces = [text[start:end] for start, end in itertools.pairwise(places)]
    assert fed(pieces) == fed([text])
    assert fed(list(text)) == fed([text])


@pytest.mark.parametrize("cut", range(1, 21))
def test_a_mark_split_over_two_pieces_stays_with_its_sentence(cut: int) -> None:
    text = "Remove them.[1][12] Then go.[2]"
    assert fed([text[:cut], text[cut:]]) == ["Remove them.[1][12]", "Then go.[2]"]


def test_a_sentence_is_complete_once_another_begins_or_its_line_ends() -> None:
    assert take_complete("Remove them.") == ([], "Remove them.")
    assert take_complete("Remove them.[1] T") == (["Remove them.[1]"], " T")
    assert take_complete("Dose: 2.") == ([], "Dose: 2.")
    assert take_complete("- Cut them off\n- Bu") == (["- Cut them off"], "- Bu")
    assert take_complete("第一句。第") == (["第一句。"], "第")


def test_a_written_text_gives_the_sentences_of_the_finished_one() -> None:
    lead = "Late blight is a mould.[1] It spreads at 10 to 25 °C.[2]"
    text = f"{lead}\n\n- Cut sick plants, e.g. Kerr's Pink.[1]\n- Burn them. [3]\n"
    assert fed(list(text)) == [
        "Late blight is a mould.[1]",
        "It spreads at 10 to 25 °C.[2]",
        "- Cut sick plants, e.g. Kerr's Pink.[1]",
        "- Burn them. [3]",
    ]


def test_a_long_text_without_an_end_is_read_quickly() -> None:
    for text in ("a " * 20_000, "a. " * 5_000, "[" * 20_000, "[1," * 7_000, "。" * 20_000, "- \n" * 7_000, "e.g. " * 5_000):
        split(text)
        take_complete(text)


def test_content_words_leave_out_what_only_joins() -> None:
    assert content_words("The rate of 2,4-D for the Maize") == ["rate", "2,4-d", "maize"]
    assert stems("spraying sprays sprayed") == stems("spray")
    assert stem("leaves") == stem("leave")


@given(st.text(max_size=100))
def test_stems_of_any_text_are_found(text: str) -> None:
    assert stems(text) == {stem(word) for word in content_words(text)}
