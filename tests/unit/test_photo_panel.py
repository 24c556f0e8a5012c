"""What people read above an answer when they sent photos."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib import resources

import pytest

from agri_llm.phrases import phrase
from agri_llm.records import BACKGROUND, Answer, Citation, Diagnosis, Question
from knowledge_base import look_alikes
from ui import answers, citations, photo_panel

LANGUAGES = ("en", "zh", "es", "fr", "pt", "hi", "sw", "ar")
FOUND = Diagnosis(
    label="tomato__early_blight",
    confidence=0.93,
    certain=True,
    alternatives=(("tomato__target_spot", 0.05), (BACKGROUND, 0.04), ("tomato__healthy", 0.01)),
)
UNSURE = replace(FOUND, confidence=0.62, certain=False)


@pytest.fixture(autouse=True)
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (photo_panel, citations):
        monkeypatch.setattr(module, "word", lambda key, **values: f"{key} {{number}}")


def answer(found: Diagnosis | None, language: str = "en", text: str = "Pick off the leaves.") -> Answer:
    return Answer(question=Question(text="What is it?", language=language), kind="advice", text=text, diagnosis=found)


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_a_certain_diagnosis_says_what_it_looks_like_and_its_look_alikes_with_their_signs() -> None:
    html = photo_panel.html(answer(FOUND))
    said = plain(html)
    assert said.startswith(" This looks like tomato early blight : almost sure (93%)")
    assert "Early blight of tomato shows as brown spots" in said
    assert "tomato target spot 5%" in said
    assert "but its rings are darker and clearer" in said
    assert "tomato septoria leaf spot Septoria leaf spot of tomato differs" in said
    assert "photograph" not in said
    assert "healthy" not in said
    assert "<details>" in html
    assert "Take another photo" not in said


def test_an_unsure_diagnosis_says_so_first_and_how_to_take_another_photo() -> None:
    html = photo_panel.html(answer(UNSURE))
    assert plain(html).startswith(" I am not sure.")
    assert "probable (62%)" in html
    assert "<details open>" in html
    for step in photo_panel.AGAIN:
        assert phrase("en", f"photo_again_{step}") in html


@pytest.mark.parametrize(
    ("confidence", "certain", "words"),
    [(1.0, True, "almost sure (99%)"), (0.9, True, "almost sure (90%)"), (0.5, False, "probable (50%)"),
     (0.49, False, "only a guess (49%)"), (0.95, False, "probable (95%)")],
)  # fmt: skip
def test_confidence_is_said_in_words_and_as_a_number(confidence: float, certain: bool, words: str) -> None:
    assert photo_panel.confidence(replace(FOUND, confidence=confidence, certain=certain), "en") == words


def test_every_sign_is_a_source_of_the_answer_numbered_on_from_its_own() -> None:
    sign = look_alikes.typical("tomato__early_blight", "en")
    assert sign is not None
    own = Citation(number=1, passage=sign.passage, quote=sign.sentence)
    cited = replace(answer(FOUND, text=f"{sign.sentence}[1]"), citations=(own,))
    whole = photo_panel.with_signs(cited)
    assert [each.number for each in whole.citations] == [1, 2, 3, 4]
    assert all(each.quote in each.passage.text for each in whole.citations)
    panel, page = photo_panel.html(cited), answers.finished_html(cited)
    assert sign.sentence not in panel  # the answer says it already
    for number in (2, 3, 4):
        assert f'href="#c-{cited.id}-{number}"' in panel
        assert f'id="c-{cited.id}-{number}"' in page


def test_an_english_sign_is_marked_where_the_question_is_in_another_language() -> None:
    html = photo_panel.html(answer(UNSURE, "sw"))
    assert plain(html).startswith(" Sina uhakika.")
    assert "(Kiingereza)" in html
    assert 'lang="en"' in html
    chinese = photo_panel.html(answer(UNSURE, "zh"))
    assert "番茄早疫病很像靶斑病" in chinese
    assert 'lang="zh"' in chinese


def test_a_photo_that_cannot_be_used_is_told_once() -> None:
    useless = replace(UNSURE, scope="unknown_plant")
    said = phrase("en", "photo_unknown_plant")
    assert said.startswith("This is not a plant or problem I know")
    assert said in photo_panel.html(answer(useless))
    assert photo_panel.html(answer(useless, text=said)) == ""
    assert photo_panel.with_signs(answer(useless)).citations == ()
    assert phrase("en", "photo_not_a_plant").startswith("I see no plant")


def test_without_a_photo_there_is_no_panel() -> None:
    assert photo_panel.html(answer(None)) == ""
    assert photo_panel.with_signs(answer(None)).citations == ()


def test_a_label_of_somebody_elses_model_is_shown_without_signs() -> None:
    html = photo_panel.html(answer(Diagnosis(label="leaf__<odd>", confidence=0.4, certain=False)))
    assert "only a guess (40%)" in html
    assert "<odd>" not in html
    assert "details" not in html


def test_little_colour_is_not_worth_a_number() -> None:
    assert "discoloured" not in photo_panel.html(answer(replace(FOUND, affected_area_percent=0.4)))
    assert "About 12 %" in photo_panel.html(answer(replace(FOUND, affected_area_percent=12.3)))


def test_phrases_about_photos_stand_in_every_language_with_the_same_places() -> None:
    said = {
        language: json.loads((resources.files("agri_llm.phrases") / f"{language}.json").read_text(encoding="utf-8"))
        for language in LANGUAGES
    }
    for key, text in said["en"].items():
        for language in LANGUAGES if key.startswith("photo_") else ():
            assert set(re.findall(r"{\w+}", said[language][key])) == set(re.findall(r"{\w+}", text)), (language, key)
