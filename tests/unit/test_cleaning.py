"""What is taken out of rows: personal data, wrong languages and lengths, repetitions, damage, evaluation cases."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from some_sheets import copied, passages

from agri_llm.errors import BadInput
from agri_llm.personal import scrubbed
from agri_llm.prompts import REFUSAL_MARK
from knowledge_base import shipped
from training import cleaning, contamination, dataset, mixing, text_quality
from training.contamination import Contamination
from training.data_config import DataConfig, Source
from training.rows import Kind, Row, identity
from training.text_quality import QualityFilter

CONFIG = DataConfig(sources=(Source(name="set", sort="chat", path="set.jsonl"),))
LONG = "Late blight of potato spreads fastest in cool and wet weather, so look under the leaves of your plants twice a week."


def row(question: str, answer: str, *, language: str = "en", kind: Kind = "open", group: str = "", source: str = "set") -> Row:
    return Row(
        id=identity(question, answer), group=group or question, kind=kind, language=language, source=source,
        messages=({"role": "user", "content": question}, {"role": "assistant", "content": answer}),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Write to jane.doe@example.co.uk today.", "Write to [e-mail] today."),
        ("Call +254 712 345 678 or (301) 555-0143.", "Call [phone] or [phone]."),
        ("Phone: 0712 345678, thanks", "Phone: [phone], thanks"),
        ("电话：13812345678，谢谢", "电话：[phone]，谢谢"),
        ("My farm is at -1.28333, 36.81667 near town.", "My farm is at [place] near town."),
        ("Field at 12°34'56\"N, 98°45'12\"E.", "Field at [place]."),
        ("Please help. Thank you, Avery Miller", "Please help. Thank you, [name]"),
        ("My name is Jane and I grow maize.", "My name is [name] and I grow maize."),
        ("Ask Dr. Smith about it.", "Ask Dr. [name] about it."),
        ("我叫王小明，我种水稻。", "我叫[name]，我种水稻。"),
    ],
)
def test_what_tells_who_and_where_is_taken_out(text: str, clean: str) -> None:
    assert scrubbed(text)[0] == clean


@pytest.mark.parametrize(
    "text",
    [
        "Apply 15-15-15 at 200 kg per hectare in 2019-2020.", "Sow 50 000 plants per hectare, rows 75 x 30 cm.",
        "Thank you for the answer.", "IRAC 3A, FRAC M01, pH 5.5, 10 to 25 °C.", "The loss was 1,250,000 tonnes in 1998.",
        "Thanks. How do I prune?",
        "THANK YOU SO MUCH!", "Thanks. If it rains, wait.",
        "晚疫病在10至25°C蔓延最快，损失可达70%。", "Spodoptera frugiperda (J. E. Smith) eats maize.",
    ],
)  # fmt: skip
def test_numbers_of_farming_are_no_personal_data(text: str) -> None:
    assert scrubbed(text) == (text, {})


def test_no_shipped_sheet_loses_a_word_to_it(tmp_path: Path) -> None:
    assert all(scrubbed(passage.text) == (passage.text, {}) for passage in passages(copied(tmp_path)))


def clean(*found: Row, config: DataConfig = CONFIG) -> tuple[list[Row], Counter[str]]:
    counts: Counter[str] = Counter()
    return list(cleaning.cleaned(config, lambda _: "chat")(found, counts)), counts


def test_rows_in_the_wrong_language_or_of_the_wrong_length_are_counted_and_dropped() -> None:
    kept, counts = clean(
        row("Why?", LONG),
        row("Warum?", LONG, language="de"),
        row("Pourquoi ?", "Le mildiou de la pomme de terre se propage vite par temps frais et humide, regardez les feuilles."),
        row("Why so long?", "word " * 2000),
        row("Why not?", REFUSAL_MARK),
        row("   ", LONG),
        row(
            "为什么？",
            "马铃薯晚疫病在凉爽多雨的天气蔓延最快，每周看两次叶背，拔掉病株，烧毁或深埋，保护好健康的薯块。",
            language="zh",
        ),
    )
    assert [one.messages[0]["content"] for one in kept] == ["Why?", "Why not?", "为什么？"]
    assert counts == {"language de": 1, "stated en, written fr": 1, "too long": 1, "empty": 1}


def test_texts_are_made_alike_and_scrubbed() -> None:
    (kept,), counts = clean(row("Why\u200b?\r\nMy mail is a@b.org", "It   rains \t\nnow.\x00"))
    assert kept.messages[0]["content"] == "Why?\nMy mail is [e-mail]"
    assert kept.messages[1]["content"] == "It   rains\nnow."
    assert counts == {"scrubbed e-mail": 1}


def test_equal_and_nearly_equal_rows_are_kept_once_but_another_number_is_another_fact() -> None:
    found = [
        row("How do I fight blight?", LONG),
        row("How do I fight blight?", LONG),
        row("How do I fight blight?", LONG.replace("look", "check")),
        row("How do I fight blight?", LONG + " Wait 7 days."),
        row("How do I fight blight?", LONG + " Wait 14 days."),
        row("What is rust?", REFUSAL_MARK, kind="refusal"),
        row("What is smut?", REFUSAL_MARK, kind="refusal"),
    ]
    counts: Counter[str] = Counter()
    kept = list(cleaning.unrepeated(DataConfig(sources=CONFIG.sources, near_duplicate=0.6))(found, counts))
    assert [one.id for one in kept] == [found[at].id for at in (0, 3, 4, 5, 6)]
    assert counts == {"equal": 1, "nearly equal": 1}


@pytest.fixture(scope="module")
def sheets(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [passage.text for passage in passages(copied(tmp_path_factory.mktemp("sheets")))]


def test_damaged_text_is_told_from_sound_text_of_other_sheets() -> None:
    every = [passage.text for passage in shipped.sheets()]
    taught, unseen = every[:: dataset.TAUGHT], every[4 :: 4 * dataset.TAUGHT]
    judge, random = QualityFilter(taught), Random(1)
    sound = judge.soundness(unseen)
    broken = judge.soundness([damage(text, random) for text in unseen for damage in text_quality.DAMAGES])
    assert (sound > DataConfig.quality).mean() > 0.95
    assert (broken < DataConfig.quality).mean() > 0.85


MANUAL = (
    "Seedlings of calliandra are raised in a nursery bed near the stream and carried to the terraces when the rains begin.",
    "The group leader of each village keeps a list of members who have received planting material from the project.",
    "Most households in the banana belt own between one and three goats, which are tethered along the road during the day.",
    "A trench of this kind slows the water that runs down the slope and lets it soak into the ground above the plot.",
    "Extension staff visit the site twice a month and discuss with the owners what has been done since the last visit.",
    "Poles for building are cut after six years, while firewood can be taken from the same trees from the second year.",
    "The market for fruit is far away, so that most of the mangoes are eaten at home or given to the neighbours.",
    "Where the stand has become too dense, every second tree is removed and its branches are spread over the soil.",
)


def pages(seed: int, number: int) -> list[str]:
    """Pages of a manual on other things than our sheets, with the line ends of a printed page."""
    random = Random(seed)
    made = [" ".join(random.sample(MANUAL, 5)) for _ in range(number)]
    return [text_quality._wrapped(text, random) for text in made]


def test_a_manual_on_other_things_is_not_taken_for_damage_and_damage_to_it_is_found(sheets: list[str]) -> None:
    judge, random, unseen = QualityFilter(sheets, 0, pages(1, 40)), Random(3), pages(2, 20)
    assert (judge.soundness(unseen) > DataConfig.quality).mean() > 0.9
    for damage in text_quality.DAMAGES:
        assert (judge.soundness([damage(page, random) for page in unseen]) < DataConfig.quality).mean() > 0.8, damage.__name__


def test_a_source_that_is_wholly_damaged_does_not_teach_that_damage_is_sound(sheets: list[str]) -> None:
    random = Random(4)
    for damage in (text_quality.misread, text_quality.boilerplate, text_quality.truncated):
        broken = [damage(page, random) for page in pages(5, 60)]
        assert (QualityFilter(sheets, 0, broken).soundness(broken) < DataConfig.quality).mean() > 0.9, damage.__name__


def test_the_filter_judges_alike_every_time(sheets: list[str]) -> None:
    assert list(QualityFilter(sheets[:20]).soundness(sheets[20:25])) == list(
        QualityFilter(sheets[:20]).soundness(sheets[20:25])
    )


def test_damaged_rows_of_others_are_dropped_and_short_ones_are_not_judged(sheets: list[str]) -> None:
    noise = text_quality.boilerplate(LONG, Random(2)) * 2
    found = [row("a", f"{LONG}[3]"), row("b", noise), row("c", "It rains.")]
    counts: Counter[str] = Counter()
    config = DataConfig(sources=CONFIG.sources, quality=0.5)
    kept = list(cleaning.sound(config, lambda judged: QualityFilter(sheets, 0, judged), lambda _: "chat")(found, counts))
    assert [one.messages[0]["content"] for one in kept] == ["a", "c"]
    assert counts["damaged"] == 1


def suite(path: Path, *cases: dict[str, object]) -> Contamination:
    path.write_text("".join(json.dumps(case, ensure_ascii=False) + "\n" for case in cases), encoding="utf-8")
    return Contamination([path])


def test_a_row_that_repeats_an_evaluation_case_is_found_and_named(tmp_path: Path) -> None:
    asked = "My potato leaves have dark wet spots with white mould below after a week of rain, what should I do"
    tests = suite(tmp_path / "cases.jsonl", {"id": "x", "question": asked}, {"question": "What is rust?"})
    found = tests.overlap(row(f"Hello! {asked}? Thank you.", "Cut them out."))
    assert found is not None
    assert "cases.jsonl, line 1" in found.case
    assert "potato leaves have dark wet spots" in found.words
    assert tests.overlap(row("what is RUST", "A disease.")) is not None
    assert tests.overlap(row("What is the rust of wheat and what is to be done about it?", "Grow resistant wheat.")) is None
    assert "line 1" in str(contamination.stopped(found))


def test_chinese_is_compared_by_its_characters(tmp_path: Path) -> None:
    asked = "我家的马铃薯叶子上有水浸状的黑斑，叶背还长了一层白霉，下了一个星期的雨，该怎么办？"
    tests = suite(tmp_path / "cases.jsonl", {"question": asked})
    assert tests.overlap(row(f"请问，{asked}", "拔掉。", language="zh")) is not None
    assert tests.overlap(row("我家的马铃薯叶子上有黄斑，该怎么办？", "拔掉。", language="zh")) is None


def test_answers_that_quote_a_named_document_do_not_count_but_free_ones_do(tmp_path: Path) -> None:
    free = suite(tmp_path / "free.jsonl", {"question": "When?", "answer": LONG})
    quoted = suite(tmp_path / "quoted.jsonl", {"question": "When?", "answer": LONG, "document_id": "potato-late-blight"})
    taught = row("What favours it?", LONG)
    assert free.overlap(taught) is not None
    assert quoted.overlap(taught) is None


def test_an_evaluation_file_that_is_not_there_stops_the_build(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not there"):
        contamination.files_of([str(tmp_path / "gone.jsonl")])


def test_a_group_is_on_one_side_and_stays_there_when_rows_are_added() -> None:
    found = [row(f"question {number}", LONG, group=f"group {number // 3}") for number in range(600)]
    placed = list(mixing.with_splits(CONFIG)(found, Counter()))
    sides: dict[str, set[str]] = {}
    for one in placed:
        sides.setdefault(one.group, set()).add(one.split)
    assert all(len(side) == 1 for side in sides.values())
    assert {one.split for one in placed} == {"train", "validation", "test"}
    more = list(mixing.with_splits(CONFIG)([*found, row("new", LONG)], Counter()))
    assert more[: len(placed)] == placed


def test_a_data_set_of_one_row_is_refused_in_one_sentence() -> None:
    with pytest.raises(BadInput, match="1 row was left and none for"):
        list(mixing.with_splits(CONFIG)([row("alone", LONG)], Counter()))


def test_weights_repeat_and_thin_out_rows_for_training_alone() -> None:
    heavy = Source(name="heavy", sort="chat", path="a", weight=2.5)
    light = Source(name="light", sort="chat", path="b", weight=0.25)
    config = DataConfig(sources=(heavy, light))
    found = [row(f"{name} {at}", LONG, source=name) for name in ("heavy", "light") for at in range(400)]
    mixed = list(mixing.mixed(config)(mixing.with_splits(config)(found, Counter()), Counter()))
    counts = Counter((one.source, one.split) for one in mixed)
    before = Counter((one.source, one.split) for one in mixing.with_splits(config)(found, Counter()))
    assert counts[("heavy", "train")] / before[("heavy", "train")] == pytest.approx(2.5, abs=0.15)
    assert counts[("light", "train")] / before[("light", "train")] == pytest.approx(0.25, abs=0.1)
    assert counts[("heavy", "test")] == before[("heavy", "test")]
    assert len({one.id for one in mixed}) == len(mixed)


def test_a_text_to_read_on_may_be_longer_than_a_conversation() -> None:
    text = " ".join(f"{LONG} {number}." for number in range(400))
    manual = Row(id="manual", group="manual", kind="pretraining", language="en", source=CONFIG.sources[0].name, text=text)
    counts: Counter[str] = Counter()
    kept = list(cleaning.cleaned(CONFIG, lambda _: "documents")([manual, row("long", text)], counts))
    assert [one.id for one in kept] == ["manual"]
    assert counts["too long"] == 1


def test_a_kind_can_be_limited() -> None:
    config = DataConfig(sources=CONFIG.sources, most_of_a_kind={"open": 10})
    found = [row(f"question {at}", LONG) for at in range(300)]
    mixed = list(mixing.mixed(config)(mixing.with_splits(config)(found, Counter()), Counter()))
    assert Counter(one.split for one in mixed)["train"] == 10


def test_a_limit_takes_from_every_source_whatever_comes_first() -> None:
    sources = tuple(Source(name=name, sort="chat", path="a") for name in ("first", "last"))
    config = DataConfig(sources=sources, most_of_a_kind={"open": 100})
    found = [row(f"{name} {at}", LONG, source=name) for name, many in (("first", 900), ("last", 300)) for at in range(many)]
    counts: Counter[str] = Counter()
    mixed = list(mixing.mixed(config)(mixing.with_splits(config)(found, Counter()), counts))
    learned = Counter(one.source for one in mixed if one.split == "train")
    assert learned.total() == 100
    assert learned["last"] == pytest.approx(25, abs=10)
    assert len(found) - len(mixed) == counts["left out by weight or kind"]
    again = list(mixing.mixed(config)(mixing.with_splits(config)(found, Counter()), Counter()))
    assert again == mixed
