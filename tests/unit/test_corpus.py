"""What the shipped sheets promise: sources, sections, no dose without a label, and a Chinese twin that is up to date."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from agri_llm import quantities, sentences
from knowledge_base.terms import Glossary

CORPUS = Path(__file__).resolve().parents[2] / "knowledge_base/corpus"
SHEETS = sorted((CORPUS / "en").glob("*.md"))
TWINS = sorted((CORPUS / "zh").glob("*.md"))
TOPICS = {
    "disease", "pest", "virus", "disorder", "weed", "nutrient", "soil", "water", "weather", "storage", "safety", "ipm",
    "growing",
}  # fmt: skip
REGIONS = {"world", "africa", "asia", "latin america", "north america", "europe", "oceania", "middle east"}
# Headings in their order; those in brackets where there is something to say.
PROBLEM = (
    r"What you see\|What it is\|When it (spreads|happens)\|What to do now\|Cultural((\|Biological)?\|Chemical|\|Fertiliser)?"
    r"\|Prevention\|When to call an expert"
)
METHOD = r"What it is\|Why it matters\|When to do it\|How to do it(\|How much)?\|Mistakes to avoid\|When to call an expert"
GROWING = (
    r"What a healthy plant looks like\|What the crop needs\|Varieties and seed\|Planting\|Feeding\|Water"
    r"\|Weeds, pests and diseases\|Harvest and storage\|Mistakes to avoid\|When to call an expert"
)
CHINESE = {
    "What you see": "识别要点", "What it is": "基本情况", "When it spreads": "发生规律", "When it happens": "发生条件",
    "What to do now": "防治措施", "Cultural": "农业防治", "Biological": "生物防治", "Chemical": "化学防治",
    "Fertiliser": "施肥矫治", "Prevention": "预防措施", "When to call an expert": "何时请教专家",
    "Why it matters": "为什么重要",
    "When to do it": "什么时候做", "How to do it": "怎么做", "How much": "用量与标准", "Mistakes to avoid": "常见错误",
    "What a healthy plant looks like": "健康植株", "What the crop needs": "环境要求", "Varieties and seed": "品种与种子",
    "Planting": "整地播种", "Feeding": "施肥", "Water": "水分管理", "Weeds, pests and diseases": "病虫草害管理",
    "Harvest and storage": "收获与贮藏",
}  # fmt: skip
each_sheet = pytest.mark.parametrize("sheet", SHEETS, ids=lambda path: path.stem)


@cache
def parts(sheet: Path) -> tuple[dict[str, Any], str]:
    """The front matter and the body of a sheet."""
    _, front, body = sheet.read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), body


def passages(body: str) -> Iterator[tuple[str, str]]:
    """Yield (nearest heading, line) for every paragraph and bullet."""
    heading = ""
    for line in filter(None, map(str.strip, body.splitlines())):
        if line.startswith("#"):
            heading = line.lstrip("# ")
        else:
            yield heading, line


def headings(sheet: Path) -> list[str]:
    return re.findall(r"^#{2,3} (.+)$", parts(sheet)[1], re.MULTILINE)


def twin_of(sheet: Path) -> Path:
    return CORPUS / "zh" / sheet.name


def numbers(body: str) -> set[str]:
    """The numbers of a text but those inside names, like the 2 of PM2 or 1.5 of "1.5-fold"."""
    return {found.replace(",", "") for found in re.findall(r"(?<![A-Za-z\d.])\d+(?:[.,]\d+)*", body)}


def test_there_are_sheets_of_every_crop_and_for_every_twin() -> None:
    assert len(SHEETS) >= 180
    assert [twin.name for twin in TWINS if not (CORPUS / "en" / twin.name).exists()] == []


def test_every_label_of_a_photo_has_a_sheet() -> None:
    with (CORPUS.parent / "photo_labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["label"] for row in rows}) == len(rows) > 50
    assert [row for row in rows if not (CORPUS / "en" / f"{row['document_id']}.md").exists()] == []


@pytest.mark.parametrize(
    "crop",
    """rice wheat maize sorghum pearl-millet barley soybean bean black-gram chickpea cowpea groundnut cassava potato
    sweet-potato banana tomato chilli onion cabbage cucumber citrus mango grape apple peach strawberry blueberry coffee cocoa
    tea cotton sugarcane oil-palm""".split(),
)
def test_a_crop_has_a_growing_guide_and_sheets_on_its_diseases_and_pests(crop: str) -> None:
    topics = [set(parts(sheet)[0]["topics"]) for sheet in SHEETS if crop in parts(sheet)[0]["crops"]]
    assert any("growing" in topic for topic in topics)
    assert any(topic & {"disease", "virus"} for topic in topics)
    assert any("pest" in topic for topic in topics)


@pytest.mark.parametrize("sheet", [*SHEETS, *TWINS], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_sheet_says_what_it_is_about_and_who_says_so(sheet: Path) -> None:
    front, body = parts(sheet)
    assert body.startswith(f"# {front['title']}\n")
    assert front["crops"]
    assert [crop for crop in front["crops"] if crop != "any" and not Glossary.load().crops(crop)] == []
    assert front["topics"]
    assert set(front["topics"]) <= TOPICS
    assert front["regions"]
    assert set(front["regions"]) <= REGIONS
    assert (front["language"], front["licence"]) == (sheet.parent.name, "CC-BY-4.0")
    assert isinstance(front["reviewed"], date)
    assert len(front["sources"]) >= 2
    for source in front["sources"]:
        assert source["organisation"].strip()
        assert source["title"].strip()
        assert 1950 <= source["year"] <= front["reviewed"].year


@each_sheet
def test_a_sheet_has_the_sections_of_its_kind_in_order(sheet: Path) -> None:
    assert parts(sheet)[0]["id"] == sheet.stem
    found = "|".join(headings(sheet))
    assert any(re.fullmatch(kind, found) for kind in (PROBLEM, METHOD, GROWING)), found


@each_sheet
def test_a_sheet_gives_no_dose_of_a_chemical_and_says_that_the_label_is_binding(sheet: Path) -> None:
    chemical = [line for heading, line in passages(parts(sheet)[1]) if heading == "Chemical"]
    for line in chemical:
        doses = [found.text for found in quantities.find(line) if re.match("(mass|volume) per ", found.kind)]
        assert not doses or "label" in line, line
    assert not chemical or any("label" in line for line in chemical)


@each_sheet
def test_every_sentence_of_a_sheet_stands_alone_and_is_plain(sheet: Path) -> None:
    for _, line in passages(parts(sheet)[1]):
        assert not re.search(r"\*|__|<[a-z/]|!?\[[^\]]*\]\(|https?://", line), line
        for sentence in sentences.split(line.removeprefix("- ")):
            assert not re.match(r"(It|This|These|They)\b", sentence.text), sentence.text


@each_sheet
def test_a_sheet_has_a_chinese_twin_made_from_its_present_text(sheet: Path) -> None:
    twin = twin_of(sheet)
    assert twin.exists(), "write the Chinese sheet"
    front, original = parts(twin)[0], parts(sheet)[0]
    assert (front["id"], front["twin_of"]) == (f"{sheet.stem}.zh", sheet.stem)
    same = ("crops", "topics", "regions", "sources")
    assert {key: front[key] for key in same} == {key: original[key] for key in same}
    assert front["reviewed"] >= original["reviewed"]
    now = hashlib.sha256(sheet.read_bytes()).hexdigest()[:16]
    assert front["english_sha256"] == now, "the English sheet was changed: bring the Chinese one up to it, then set its hash"


@each_sheet
def test_a_chinese_twin_says_the_same_in_the_same_order(sheet: Path) -> None:
    twin = twin_of(sheet)
    assert headings(twin) == [CHINESE[heading] for heading in headings(sheet)]
    english, chinese = (list(passages(parts(each)[1])) for each in (sheet, twin))
    assert len(chinese) == len(english)
    assert numbers(parts(twin)[1]) == numbers(parts(sheet)[1])
    chemical = " ".join(line for heading, line in chinese if heading == "化学防治")
    assert not chemical or "标签" in chemical


@each_sheet
def test_every_chinese_sentence_stands_alone_and_is_plain(sheet: Path) -> None:
    for _, line in passages(parts(twin_of(sheet))[1]):
        assert not re.search(r"\*|__|<[a-z/]|!?\[[^\]]*\]\(|https?://", line), line
        for sentence in sentences.split(line.removeprefix("- ")):
            assert not re.match("(它|它们|这|此病|此虫|该病|该虫)", sentence.text), sentence.text
            assert len(sentence.text) <= 90, sentence.text
