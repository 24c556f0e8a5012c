"""The glossary finds what people mean, by whole words, and adds names without touching what they wrote."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import knowledge_base
from agri_llm.errors import BadInput
from knowledge_base.terms import KINDS, Glossary

HEADER = "id,kind,scientific,en,en_synonyms,zh,zh_synonyms"
CORPUS = Path(knowledge_base.__file__).parent / "corpus" / "en"


@pytest.fixture(scope="module")
def glossary() -> Glossary:
    return Glossary.load()


def ids(glossary: Glossary, text: str, *kinds: str) -> list[str]:
    return [found.term.id for found in glossary.find(text, kinds or None)]


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "terms.csv"
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return path


# What is in the file


def test_the_shipped_glossary_covers_what_farmers_grow_and_fight(glossary: Glossary) -> None:
    kinds = Counter(term.kind for term in glossary.terms.values())
    assert set(kinds) == KINDS
    assert kinds["crop"] >= 70
    assert kinds["disease"] + kinds["pest"] >= 70
    nutrients = "nitrogen phosphorus potassium calcium magnesium sulphur iron zinc manganese boron copper molybdenum"
    assert all(glossary.terms[nutrient].kind == "nutrient" for nutrient in nutrients.split())


def test_every_term_has_an_english_and_a_chinese_name(glossary: Glossary) -> None:
    for term in glossary.terms.values():
        assert term.names["en"][0].isascii() or term.kind == "place", term.id
        assert any("\u4e00" <= character <= "\u9fff" for character in term.names["zh"][0]), term.id


def test_every_name_is_found_as_the_term_it_names(glossary: Glossary) -> None:
    for term in glossary.terms.values():
        if term.kind == "trap":
            continue
        for name in (name for names in term.names.values() for name in names):
            assert [(found.term.id, found.text) for found in glossary.find(name, {term.kind})] == [(term.id, name)]


def test_every_crop_of_the_shipped_sheets_is_one_crop_of_the_glossary(glossary: Glossary) -> None:
    sheets = sorted(CORPUS.glob("*.md"))
    assert sheets
    for sheet in sheets:
        front_matter = yaml.safe_load(sheet.read_text(encoding="utf-8").split("---", 2)[1])
        for crop in set(front_matter["crops"]) - {"any"}:
            found = glossary.find(crop, {"crop"})
            assert [one.text for one in found] == [crop], f"{sheet.name}: {crop}"


def test_every_crop_that_a_sheet_s_title_names_is_one_of_the_sheet_s_crops(glossary: Glossary) -> None:
    for sheet in sorted(CORPUS.glob("*.md")):
        front_matter = yaml.safe_load(sheet.read_text(encoding="utf-8").split("---", 2)[1])
        of_the_sheet = {term for crop in front_matter["crops"] for term in glossary.crops(crop)}
        assert "any" in front_matter["crops"] or set(glossary.crops(front_matter["title"])) <= of_the_sheet, sheet.name


# Finding


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Corn, mealies and maize", ["maize", "maize", "maize"]),
        ("tomatoes, potatoes, strawberries, cherries, radishes and leaves", None),
        ("sweet potato", ["sweet-potato"]),
        ("sweet-potatoes", ["sweet-potato"]),
        ("bell_pepper", ["chilli"]),
        ("black pepper", ["black-pepper"]),
        ("lady’s fingers and LADY'S FINGER", ["okra", "okra"]),
        ("the tomato's fruit", ["tomato", "fruit"]),
        ("brinjal, bhindi, gnuts and chillies", ["eggplant", "okra", "groundnut", "chilli"]),
        ("faw in the maize", ["fall-armyworm", "maize"]),
        ("ＦＡＷ", ["fall-armyworm"]),
        ("Cote d'Ivoire or Côte d’Ivoire", ["ivory-coast", "ivory-coast"]),
        ("Zea mays and Phytophthora infestans", ["maize", "late-blight"]),
        ("Chile peppers from Chile", ["chilli", "chile"]),
        ("Spread lime under the lime trees", ["agricultural-lime", "citrus"]),
    ],
)
def test_names_are_found_in_any_spelling(glossary: Glossary, text: str, expected: list[str] | None) -> None:
    expected = expected or ["tomato", "potato", "strawberry", "cherry", "radish", "leaf"]
    assert ids(glossary, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A grape and a pear", ["grape", "pear"]),
        ("Around the corner I trust you", []),
        ("Sage advice, a rice cooker and a guinea pig", []),
        ("The orange spots", []),
        ("Which date may it be, I mean", []),
        ("5 mg per ml, 2 ha, 10 kg, no lead", []),
        ("Musa can stem the flood", []),
    ],
)
def test_words_that_only_contain_or_resemble_a_name_are_no_hits(glossary: Glossary, text: str, expected: list[str]) -> None:
    assert ids(glossary, text, "crop", "disease", "pest", "nutrient", "input", "place") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("稻瘟病", ["rice-blast"]),
        ("水稻稻瘟病", ["rice", "rice-blast"]),
        ("草地贪夜蛾危害玉米", ["fall-armyworm", "maize"]),
        ("土豆、洋芋和西红柿", ["potato", "potato", "tomato"]),
        ("棉花生长", ["cotton"]),  # not 花生, groundnut
        ("开花生长", ["flowering"]),
        ("白菜花叶病", ["chinese-cabbage", "mosaic-disease"]),  # not 菜花, cauliflower
        ("玉米FAW防治", ["maize", "fall-armyworm"]),
        ("丹麦的番\n茄", ["denmark", "tomato"]),  # not 麦, wheat; a line of a PDF may end inside a word
        ("代森锰锌", ["active-ingredient"]),  # not manganese and zinc
    ],
)
def test_chinese_is_found_by_the_longest_name(glossary: Glossary, text: str, expected: list[str]) -> None:
    assert ids(glossary, text) == expected


def test_a_name_does_not_reach_across_a_full_stop_or_a_comma(glossary: Glossary) -> None:
    assert ids(glossary, "It is sweet. Potato, black, pepper", "crop") == ["potato", "chilli"]


def test_phrases_that_only_look_like_farming_cover_the_words_inside(glossary: Glossary) -> None:
    assert glossary.find("Which apple phone?") == []
    assert glossary.find("Which apple phone?", {"crop"}) == []
    assert glossary.find("我的小米手机") == []
    assert ids(glossary, "Which apple?") == ["apple"]


def test_asking_for_one_kind_also_finds_what_stands_inside_other_names(glossary: Glossary) -> None:
    assert ids(glossary, "rice blast") == ["rice-blast"]
    assert ids(glossary, "rice blast", "crop") == ["rice"]
    assert ids(glossary, "rice blast", "place") == []
    assert ids(glossary, "喀麦隆的香蕉", "crop") == ["banana"]  # Cameroon, 喀麦隆, holds 麦, wheat


@given(
    st.text(max_size=80) | st.lists(st.sampled_from(["sweet", "potato", "稻", "瘟病", "-", " ", "'s", ".", "FAW"])).map("".join)
)
def test_whatever_people_write_the_findings_lie_in_order_inside_it(text: str) -> None:
    glossary = Glossary.load()
    end = 0
    for found in glossary.find(text):
        assert end <= found.start < found.end <= len(text)
        assert found.text == text[found.start : found.end]
        end = found.end
    assert glossary.expand(text).startswith(text)
    glossary.crops(text)
    glossary.is_about_farming(text)


# Crops


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("My leaves are yellow, what fertiliser?", ()),
        ("Beans after maize, then beans again", ("bean", "maize")),
        ("How do I stop rice blast?", ("rice",)),
        ("cotton bollworm in my tomatoes", ("tomato",)),
        ("Brazil nuts from Guinea", ()),
        ("orange powder on wheat leaves", ("wheat",)),
        ("my orange trees, my lemons", ("citrus",)),
        ("番茄和辣椒", ("tomato", "chilli")),
        ("开花生长", ()),
        ("棉铃脱落", ("cotton",)),
        ("Do I need rubber gloves?", ()),
    ],
)
def test_the_crops_of_a_question_come_once_each_in_order(glossary: Glossary, text: str, expected: tuple[str, ...]) -> None:
    assert glossary.crops(text) == expected


def test_a_name_falls_back_to_english_and_then_to_the_id(glossary: Glossary) -> None:
    assert glossary.name("maize", "zh") == "玉米"
    assert glossary.name("maize", "sw") == "mahindi"
    assert glossary.name("maize", "tlh") == "maize"
    assert glossary.name("fall-armyworm", "en") == "fall armyworm"
    assert glossary.name("unheard-of", "zh") == "unheard-of"


# Other languages


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("番茄晚疫病怎么防治？", "tomato late blight Phytophthora infestans"),
        ("¿Cómo controlo el gusano cogollero en maíz?", "fall armyworm Spodoptera frugiperda maize"),
        ("mes tomates ont des pucerons sous les feuilles", "tomato aphid Aphididae leaf"),
        ("viwavi jeshi kwenye mahindi", "fall armyworm Spodoptera frugiperda maize"),
        ("أوراق الطماطم صفراء", "leaf tomato yellowing"),
        ("टमाटर की पत्तियों पर पीले धब्बे", "tomato spots"),
        ("玉米用NPK 15-15-15多少，还有2,4-D？", "maize compound fertiliser 15-15-15 2,4-D"),
        ("2,4-D 15-15-15", ""),
        ("bonjour", ""),
    ],
)
def test_a_question_is_said_in_english_with_its_codes_and_scientific_names(
    glossary: Glossary, question: str, said: str
) -> None:
    assert glossary.translated(question) == said


def test_a_name_that_is_another_ones_plural_keeps_its_meaning(tmp_path: Path) -> None:
    path = tmp_path / "terms.csv"
    path.write_text(f"{HEADER}\na,crop,,berry,,莓,\nb,crop,,berries,,浆果,\n", encoding="utf-8")
    assert [found.term.id for found in Glossary.load(path).find("berry berries")] == ["a", "b"]


def test_vowel_signs_tell_hindi_words_apart(glossary: Glossary) -> None:
    assert {found.term.id for found in glossary.find("फूल", {"part"})} != {
        found.term.id for found in glossary.find("फल", {"part"})
    }
    assert not glossary.crops("कल जो सब है")  # without their signs they would be a banana, barley and an apple


@pytest.mark.parametrize("text", ["manchas foliares", "los tomates", "pucerons", "feuilles", "folhas", "grãos", "pulgões"])
def test_plurals_of_other_languages_are_found(glossary: Glossary, text: str) -> None:
    assert glossary.find(text)


def test_the_glossary_names_enough_things_in_eight_languages(glossary: Glossary) -> None:
    assert len(glossary.terms) >= 800
    for language in ("en", "zh", "es", "fr", "pt", "hi", "sw", "ar"):
        named = [term for term in glossary.terms.values() if term.names.get(language) and term.kind != "trap"]
        assert len(named) >= 0.95 * len([term for term in glossary.terms.values() if term.kind != "trap"]), language


# Expanding


def test_a_chinese_question_gets_the_english_and_scientific_names(glossary: Glossary) -> None:
    question = "番茄晚疫病怎么防治？"
    assert glossary.expand(question) == f"{question} tomato Solanum lycopersicum late blight Phytophthora infestans"


def test_an_english_question_gets_chinese_names_for_a_chinese_index(glossary: Glossary) -> None:
    assert glossary.expand("corn", "zh") == "corn 玉米 Zea mays"


def test_a_synonym_gets_the_preferred_name_once(glossary: Glossary) -> None:
    assert glossary.expand("brinjal and more brinjal") == "brinjal and more brinjal eggplant Solanum melongena"


@pytest.mark.parametrize(
    "text", ["", "Tomatoes with late blight", "late-blight on TOMATO", "Good morning", "corn is maize, maize is corn"]
)
def test_nothing_is_added_for_names_already_there(glossary: Glossary, text: str) -> None:
    assert glossary.expand(text) == text


@pytest.mark.parametrize(
    "text", ["2.5 kg/ha of mancozeb 75 % WP", "30 mg/l on 0.5 acres", "Score 250 EC, 10 ml in 20 l", "planted by farmers"]
)
def test_products_numbers_and_units_bring_no_other_words(glossary: Glossary, text: str) -> None:
    assert glossary.expand(text) == text


# About farming or not


@pytest.mark.parametrize(
    "text",
    [
        "How do I keep my soil alive?",
        "When to spray?",
        "种子发芽慢",
        "tuta",
        "叶子发黄",
        "how many ml of glyphosate",
        "my goat",
    ],
)
def test_farming_is_recognised_without_a_crop(glossary: Glossary, text: str) -> None:
    assert glossary.is_about_farming(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Which apple phone should I buy?",
        "Who won the election in Kenya?",
        "A hole in my ear",
        "rice cooker",
        "苹果手机多少钱",
    ],
)
def test_a_place_a_part_or_a_sign_alone_is_not_farming(glossary: Glossary, text: str) -> None:
    assert not glossary.is_about_farming(text)


# Loading


def test_another_glossary_can_be_read_with_further_languages(tmp_path: Path) -> None:
    path = write(tmp_path, "maize,crop,Zea mays,maize,corn,玉米,,mahindi,", header=f"{HEADER},sw,sw_synonyms")
    glossary = Glossary.load(path)
    assert ids(glossary, "Mahindi yangu") == ["maize"]
    assert glossary.name("maize", "sw") == "mahindi"
    assert glossary.expand("mahindi") == "mahindi maize Zea mays"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["maize,crop,,maize,,玉米,", "maize,crop,,corn,,苞米,"], "the id “maize” twice"),
        (["maize,crop,,maize,corn,玉米,", "corn,crop,,Corn,,苞米,"], "“Corn” to “maize” and to “corn”"),
        (["wheat,crop,,wheat,,小麦,麦", "barley,crop,,barley,,大麦,麦"], "“麦” to “wheat” and to “barley”"),
        (["maize,crop,,maize,,,"], "line 2 of the glossary has no name in “zh”"),
        (["maize,crop,,,corn,玉米,"], "line 2 of the glossary has no name in “en”"),
        (["maize,cereal,,maize,,玉米,"], "the kind “cereal”"),
        (["Maize,crop,,maize,,玉米,"], "the id “Maize”"),
        (["maize,crop,,maize,,玉米,,"], "line 2 of the glossary has too many or too few commas"),
        (["maize,crop,,maize"], "line 2 of the glossary has too many or too few commas"),
    ],
)
def test_a_wrong_row_is_refused_by_name(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(BadInput) as refused:
        Glossary.load(write(tmp_path, *rows))
    assert message in str(refused.value)


def test_one_name_may_mean_things_of_two_kinds(tmp_path: Path) -> None:
    glossary = Glossary.load(write(tmp_path, "lime-tree,crop,,lime,,青柠,", "lime,input,,lime,,石灰,"))
    assert ids(glossary, "lime") == ["lime-tree"]
    assert ids(glossary, "lime", "input") == ["lime"]


def test_a_file_that_is_no_glossary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="lacks en, id, kind, scientific, zh"):
        Glossary.load(write(tmp_path, header="a,b"))
    with pytest.raises(BadInput, match="lacks"):
        Glossary.load(write(tmp_path, header=""))
    with pytest.raises(BadInput, match="cannot be read"):
        Glossary.load(tmp_path / "missing.csv")
    (tmp_path / "terms.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="cannot be read"):
        Glossary.load(tmp_path / "terms.csv")


def test_the_shipped_glossary_is_read_once() -> None:
    assert Glossary.load() is Glossary.load()


def test_the_glossary_needs_no_heavy_library() -> None:
    heavy = "{'torch', 'transformers', 'faiss', 'numpy', 'pandas', 'pydantic'}"
    code = f"import sys, knowledge_base.terms; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(knowledge_base.__file__).parents[1])


def test_words_of_measuring_are_said_only_when_asked_for_and_never_alone(glossary: Glossary) -> None:
    question = "¿Qué temperatura necesita el cacao?"
    assert glossary.translated(question) == "cocoa"
    assert glossary.translated(question, measures=True) == "temperature cocoa"
    assert glossary.translated("¿Qué temperatura hace hoy?", measures=True) == ""
    assert not glossary.is_about_farming("¿Qué temperatura hace hoy?")
    assert glossary.expand("at what depth and humidity") == "at what depth and humidity"
