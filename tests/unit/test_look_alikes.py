"""What tells the labels of the photo model apart, in the words of the shipped sheets."""

from __future__ import annotations

import itertools

import pytest

from agri_llm.records import BACKGROUND
from agri_llm.vision import crop_of
from knowledge_base import look_alikes, photo_labels

LABELS = photo_labels.known()
PAIRS = [pair for pair in itertools.permutations(LABELS, 2) if crop_of(pair[0]) == crop_of(pair[1])]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_label_but_the_background_has_a_typical_sign_from_its_own_sheet(language: str) -> None:
    assert len(LABELS) == 52
    for label in LABELS:
        sign = look_alikes.typical(label, language)
        assert (sign is None) == (label == BACKGROUND), label
        if sign is not None:
            assert sign.sentence in sign.passage.text
            assert sign.passage.language == language
            assert photo_labels.sheet_of(label) in (sign.passage.document_id, sign.passage.twin_of)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_pair_of_one_crop_gets_a_sentence_unless_both_have_the_same_sheet(language: str) -> None:
    for label, other in PAIRS:
        sign = look_alikes.apart(label, other, language)
        same = photo_labels.sheet_of(label) == photo_labels.sheet_of(other)
        assert (sign is None) == same, (label, other)
        if sign is not None:
            sheets = {photo_labels.sheet_of(label), photo_labels.sheet_of(other)}
            assert sign.sentence in sign.passage.text
            assert {sign.passage.document_id, sign.passage.twin_of} & sheets, (label, other)


@pytest.mark.parametrize(
    ("label", "other", "language", "begins"),
    [
        ("tomato__early_blight", "tomato__septoria_leaf_spot", "en", "Septoria leaf spot of tomato differs"),
        ("tomato__early_blight", "tomato__late_blight", "zh", "番茄晚疫病不同"),
        ("potato__late_blight", "potato__early_blight", "sw", "Early blight of potato looks different"),
        ("tomato__late_blight", "tomato__leaf_mold", "en", "Late blight of tomato differs, because it makes large dark"),
        ("tomato__early_blight", "tomato__healthy", "en", "A healthy tomato plant has"),
        ("tomato__early_blight", "maize__common_rust", "en", "Common rust of maize makes small"),
        ("bell_pepper__bacterial_spot", "chilli__powdery_mildew", "en", "Powdery mildew of pepper differs"),
    ],
    ids=["its own sheet", "its own sheet in Chinese", "English elsewhere", "the other's sheet", "healthy", "crops", "peppers"],
)
def test_the_sentence_that_compares_both_comes_before_what_the_other_looks_like(
    label: str, other: str, language: str, begins: str
) -> None:
    sign = look_alikes.apart(label, other, language)
    assert sign is not None
    assert sign.sentence.startswith(begins)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("other", ["rice_pest__stem_borer", "rice_pest__rice_bug"])
def test_an_insect_that_is_named_as_food_is_no_look_alike(other: str, language: str) -> None:
    assert look_alikes.apart("rice_pest__grasshopper", other, language) == look_alikes.typical(other, language)


def test_a_sheet_names_its_look_alikes_in_its_own_order() -> None:
    assert look_alikes.likely("tomato__early_blight", "en") == ("tomato__septoria_leaf_spot", "tomato__late_blight")
    assert look_alikes.likely("tomato__healthy", "en") == ()


def test_labels_of_somebody_elses_model_have_no_signs() -> None:
    assert look_alikes.typical("leaf__odd", "en") is None
    assert look_alikes.apart("leaf__odd", "leaf__even", "en") is None
    assert look_alikes.likely("leaf__odd", "en") == ()
