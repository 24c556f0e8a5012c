"""The writer without a model: sentences of the passages, each cited, the chemical last and never without the label."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import knowledge_base
from agri_llm import safety
from agri_llm.language.brief import Brief
from agri_llm.language.composer import Composer
from agri_llm.phrases import phrase
from agri_llm.questions import understand
from agri_llm.records import Hit, Intent, Passage, Question
from knowledge_base.terms import Glossary

CORPUS = Path(knowledge_base.__file__).parent / "corpus" / "en"
TWINS = CORPUS.parent / "zh"
LATE_BLIGHT = "potato-late-blight"
INTENTS: list[Intent] = ["identify", "act", "when", "prevent"]


def sheet(name: str, score: float = 0.8, folder: Path = CORPUS) -> list[Hit]:
    """The sections of a shipped sheet as hits, in its order."""
    body = (folder / f"{name}.md").read_text(encoding="utf-8").split("---\n", 2)[2]
    path: list[str] = []
    hits: list[Hit] = []
    for part in re.split(r"^(?=#+ )", body, flags=re.MULTILINE):
        if part.strip():
            marks, heading, text = re.match(r"(#+) ([^\n]*)\n(.*)", part, flags=re.DOTALL).groups()  # type: ignore[union-attr]
            path = [*path[: len(marks) - 1], heading]
            if text.strip():
                hits.append(section(text.strip(), " > ".join(path), score - 0.01 * len(hits), document=name, title=path[0]))
    return hits


def section(text: str, heading: str = "", score: float = 0.8, document: str = "d", title: str = "Rust") -> Hit:
    found = Passage(id=f"{document}{heading}", document_id=document, title=title, heading=heading, text=text)
    return Hit(passage=found, score=score, words=0.6, meaning=0.6)


def compose(hits: list[Hit], intent: Intent = "act", text: str = "How do I control late blight of potato?") -> list[str]:
    return list(Composer().stream(Brief(question=Question(text=text), intent=intent, hits=tuple(hits), messages=())))


def parts(line: str) -> tuple[str, int]:
    """A written line without its bullet and lead, and the number of its passage."""
    text, number = re.fullmatch(r"(.*)\[(\d+)\]\n", line).groups()  # type: ignore[union-attr]
    for opening in ("- ", phrase("en", "lead_chemical"), phrase("zh", "lead_chemical")):
        text = text.removeprefix(opening)
    return text, int(number)


def heading_of(line: str, hits: list[Hit]) -> str:
    return hits[parts(line)[1] - 1].passage.heading.rsplit(" > ", 1)[-1]


SHEETS = sorted(file.stem for file in CORPUS.glob("*.md"))


@pytest.mark.parametrize("name", SHEETS)
def test_an_answer_from_a_sheet_keeps_all_promises(name: str) -> None:
    hits = sheet(name)
    for intent in [*INTENTS, "amount", "explain"]:
        written = compose(hits, intent, f"{hits[0].passage.title}, please")
        assert written
        for line in written:
            text, number = parts(line)
            assert text in hits[number - 1].passage.text
            assert not text.startswith(("#", "|"))
            assert isinstance(safety.check_sentence(line.strip(), [hit.passage for hit in hits]), safety.Supported), line
        assert len({parts(line)[0] for line in written}) == len(written)
        said = " ".join(written).replace("- ", "")
        assert len(said.split()) <= 120
        if intent in INTENTS:
            assert len(said.split()) >= 40
        chemical = [heading_of(line, hits) == "Chemical" for line in written]
        assert chemical == sorted(chemical), "the chemical part is not last"
        if any(chemical):
            assert "label" in " ".join(line for line, is_chemical in zip(written, chemical, strict=True) if is_chemical).lower()


@pytest.mark.parametrize("name", sorted(file.stem for file in TWINS.glob("*.md")))
def test_an_answer_from_a_chinese_twin_keeps_all_promises(name: str) -> None:
    hits = sheet(name, folder=TWINS)
    for intent in [*INTENTS, "amount", "explain"]:
        written = compose(hits, intent, f"{hits[0].passage.title}怎么办")
        assert written
        for line in written:
            text, number = parts(line)
            assert text in hits[number - 1].passage.text
            assert isinstance(safety.check_sentence(line.strip(), [hit.passage for hit in hits]), safety.Supported), line
            assert not text.endswith("：")
        assert 40 <= sum(len(parts(line)[0]) for line in written) <= 320
        chemical = [heading_of(line, hits) == "化学防治" for line in written]
        assert chemical == sorted(chemical), "the chemical part is not last"
        if any(chemical) and intent in INTENTS:
            assert "标签" in written[-1] or "标签" in written[-2]
            assert sum(phrase("zh", "lead_chemical") in line for line in written) == 1


@pytest.mark.parametrize(
    ("intent", "heading"),
    [("identify", "识别要点"), ("when", "发生规律"), ("prevent", "预防措施"), ("act", "农业防治")],
)
def test_the_plan_follows_what_was_asked_in_chinese(intent: Intent, heading: str) -> None:
    hits = sheet(LATE_BLIGHT, folder=TWINS)
    written = compose(hits, intent, "马铃薯晚疫病")
    assert heading in [heading_of(line, hits) for line in written]
    assert any(line.startswith("- ") for line in written)


def test_a_sentence_against_dust_without_a_label_is_no_label_sentence() -> None:
    bare = [section("玉米象在玉米粒上蛀出圆孔。", "识别要点"), section("绝不用无标签的药粉拌玉米。", "化学防治", 0.9)]
    assert not any("药粉" in line for line in compose(bare, "act", "玉米象怎么治"))
    told = [*bare[:1], section("玉米拌登记的药粉。用量按当地标签。", "化学防治", 0.9)]
    assert any("药粉" in line for line in compose(told, "act", "玉米象怎么治"))


def test_the_announcement_of_a_list_is_not_written() -> None:
    hits = [section("请按下面的步骤做：\n\n- 及时拔除病株并烧毁。", "农业防治")]
    assert [parts(line)[0] for line in compose(hits, "act", "晚疫病怎么办，步骤")] == ["及时拔除病株并烧毁。"]


def test_what_to_do_begins_with_what_it_is_then_steps_then_the_chemical() -> None:
    hits = sheet(LATE_BLIGHT)
    written = compose(hits)
    assert heading_of(written[0], hits) in ("What you see", "What it is")
    assert any(line.startswith("- ") and heading_of(line, hits) == "Cultural" for line in written)
    first_chemical = next(line for line in written if heading_of(line, hits) == "Chemical")
    assert first_chemical.startswith(phrase("en", "lead_chemical"))
    assert sum(line.startswith(phrase("en", "lead_chemical")) for line in written) == 1


@pytest.mark.parametrize(
    ("intent", "heading"),
    [("identify", "What you see"), ("when", "When it spreads"), ("prevent", "Prevention"), ("act", "Cultural")],
)
def test_the_plan_follows_what_was_asked(intent: Intent, heading: str) -> None:
    hits = sheet(LATE_BLIGHT)
    assert heading in [heading_of(line, hits) for line in compose(hits, intent)]


def test_nothing_is_written_without_passages() -> None:
    assert compose([]) == []
    assert compose([section("")]) == []
    assert compose([section("# Rust\n\n| a | b |\n|---|---|\n| 1 l/ha | 2 l/ha |")]) == []


def test_headings_table_rows_and_scraps_are_never_shown() -> None:
    table = "| Product | Dose of it |\n|---|---|\n| Copper salt of | 5 l/ha |"
    text = f"## What you see here today\nRust makes orange spots on wheat leaves.\n\n{table}\nYes."
    for heading in ("", "Cultural"):
        assert [parts(line)[0] for line in compose([section(text, heading)])] == ["Rust makes orange spots on wheat leaves."]


def test_no_chemical_without_a_label_sentence() -> None:
    for intent in [*INTENTS, "explain"]:
        bare = [
            section("Rust makes orange spots on wheat.", "What you see"),
            section("Spray copper on wheat rust.", "Chemical", 0.9),
        ]
        assert not any("copper" in line for line in compose(bare, intent, "rust of wheat, spray copper"))
        labelled = [*bare[:1], section("Spray copper on wheat rust. Follow the local label for the rate.", "Chemical", 0.9)]
        written = compose(labelled, intent, "rust of wheat, spray copper")
        if any("copper" in line for line in written):
            assert "label" in written[-1]


def test_a_label_sentence_of_another_document_does_not_count() -> None:
    hits = [
        section("Rust makes orange spots on wheat. Spray copper on wheat rust.", "Chemical", 0.9, document="one"),
        section("Follow the label of each product.", "Chemical", 0.5, document="two"),
    ]
    assert not any("copper" in line for line in compose(hits, "act", "spray copper on wheat rust"))


def test_the_same_sentence_in_two_passages_is_written_once() -> None:
    twice = [
        section("Pull out sick plants and burn them.", "Cultural"),
        section("Pull out sick plants and burn them.", "Prevention"),
    ]
    for intent in [*INTENTS, "explain"]:
        written = compose(twice, intent, "pull out sick plants")
        assert len({parts(line)[0] for line in written}) == len(written)


def test_a_hard_wrapped_sentence_is_one_line_and_still_found_in_its_passage() -> None:
    hits = [section("Rust makes orange spots\non the leaves of wheat\nin wet weather. It spreads by wind over the fields.")]
    written = compose(hits, "explain", "what spots does rust make")
    assert written[0] == "Rust makes orange spots on the leaves of wheat in wet weather.[1]\n"
    checked = safety.check_sentence(written[0].strip(), [hits[0].passage])
    assert isinstance(checked, safety.Supported)
    assert checked.quotes[0][1] in hits[0].passage.text


def test_plain_passages_give_their_best_sentences_in_order() -> None:
    text = (
        "Wheat is sown in autumn. Rust of wheat needs six hours of wet leaves. The mill is old."
        " Grow a resistant wheat against rust."
    )
    written = [
        parts(line)[0]
        for line in compose([section(text), section("Cows eat grass.", score=0.1, document="x")], "act", "rust of wheat")
    ]
    assert "Grow a resistant wheat against rust." in written
    assert "Cows eat grass." not in written
    assert written == sorted(written, key=text.index)


def test_a_chinese_question_over_english_sheets_gets_their_sentences() -> None:
    hits = sheet(LATE_BLIGHT)
    written = compose(hits, "act", "马铃薯晚疫病怎么办")
    assert all(parts(line)[0] in hits[parts(line)[1] - 1].passage.text for line in written)
    assert any(line.startswith(phrase("zh", "lead_chemical")) for line in written)
    chinese = [section("晚疫病的叶片出现水渍状黑斑。及时拔除病株并烧毁。", "Cultural")]
    assert compose(chinese, "act", "晚疫病怎么办")


def test_a_description_that_fits_two_sheets_names_both() -> None:
    rust, blight = sheet("bean-rust", 0.8), sheet("bean-angular-leaf-spot", 0.79)
    hits = sorted([*rust, *blight], key=lambda hit: -hit.score)
    written = compose(hits, "identify", "My bean leaves have brown spots, what is it?")
    assert {hits[parts(line)[1] - 1].passage.document_id for line in written} == {"bean-rust", "bean-angular-leaf-spot"}


def test_a_disease_that_is_named_is_not_compared_with_others() -> None:
    blight, spot = sheet("tomato-late-blight", 0.8, TWINS), sheet("tomato-leaf-mould", 0.79, TWINS)
    hits = sorted([*blight, *spot], key=lambda hit: -hit.score)

    def documents(text: str) -> set[str]:
        return {hits[parts(line)[1] - 1].passage.document_id for line in compose(hits, "identify", text)}

    assert documents("请问我家大棚里的番茄晚疫病有什么症状，应该怎么识别") == {"tomato-late-blight"}
    assert documents("我家大棚里的番茄叶子上有褐色的斑，是什么病") == {"tomato-late-blight", "tomato-leaf-mould"}


def test_the_same_question_gives_the_same_answer() -> None:
    assert compose(sheet(LATE_BLIGHT)) == compose(sheet(LATE_BLIGHT))


@given(
    st.lists(
        st.tuples(
            st.text(max_size=80),
            st.sampled_from(["", "What you see", "Cultural", "Chemical", "odd > Prevention", "When to call an expert"]),
        ),
        max_size=4,
    ),
    st.sampled_from(["identify", "act", "when", "amount", "prevent", "explain"]),
    st.text(max_size=40),
)
def test_any_passages_are_composed_without_failing(passages: list[tuple[str, str]], intent: Intent, text: str) -> None:
    hits = [section(body, heading, 0.8 - 0.1 * at, document=str(at % 2)) for at, (body, heading) in enumerate(passages)]
    for line in compose(hits, intent, text):
        number = int(re.search(r"\[(\d+)\]\n$", line)[1])  # type: ignore[index]
        assert 1 <= number <= len(hits)
        assert "\n" not in line[:-1]


def test_the_intent_of_the_question_reaches_the_plan() -> None:
    understood = understand(Question(text="When does late blight of potato spread?"), Glossary.load())
    hits = sheet(LATE_BLIGHT)
    assert "When it spreads" in [heading_of(line, hits) for line in compose(hits, understood.intent, understood.text)]


def test_a_number_is_not_answered_with_mistakes_where_the_sheet_has_no_section_on_amounts() -> None:
    needs = section("Wheat needs 450 to 650 mm of water.", "What the crop needs")
    mistakes = section("- Do not give wheat water late, it needs to ripen.", "Mistakes to avoid", score=0.79)
    hits = [replace(needs, sentences=(0.6,)), replace(mistakes, sentences=(0.62,))]
    written = compose(hits, "amount", "How much water: wheat needs?")
    assert [parts(line)[1] for line in written][:1] == [1]
    amounts = replace(needs, passage=replace(needs.passage, heading="How much"))
    assert parts(compose([amounts, hits[1]], "amount", "How much water: wheat needs?")[0])[0].endswith("650 mm of water.")
