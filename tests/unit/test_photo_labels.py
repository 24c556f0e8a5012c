"""The labels of the photo model in the words of people."""

from __future__ import annotations

import pytest

from knowledge_base import photo_labels


@pytest.mark.parametrize(
    ("label", "language", "name", "subject"),
    [
        ("tomato__late_blight", "en", "tomato late blight", "tomato late blight"),
        ("chilli__murda_complex", "en", "chilli thrips and leaf curl", "chilli thrips and leaf curl"),
        ("common_bean__healthy", "en", "healthy common bean", "common bean: what a healthy plant looks like"),
        ("tomato__healthy", "zh", "健康的番茄", "番茄健康植株"),
        ("maize__northern_leaf_blight", "zh", "玉米大斑病", "玉米大斑病"),
        ("somebody__elses", "en", "somebody elses", "somebody elses"),
        ("rust", "en", "rust", "rust"),
    ],
)
def test_a_label_has_a_name_and_something_to_look_for(label: str, language: str, name: str, subject: str) -> None:
    assert photo_labels.name_of(label, language) == name
    assert photo_labels.subject_of(label, language) == subject


@pytest.mark.parametrize("language", ["zh", "es", "fr", "pt", "hi", "sw", "ar"])
def test_a_disease_has_a_name_in_every_language(language: str) -> None:
    assert photo_labels.name_of("tomato__late_blight", language) not in ("", "tomato late blight")


def test_each_label_belongs_to_one_crop_or_to_none() -> None:
    of_crops = [label for crop in photo_labels.crops() for label in photo_labels.conditions(crop)]
    assert len(of_crops) == len(set(of_crops)) == 51
    assert "rice" in photo_labels.crops()
    assert "rice_pest__snail" in photo_labels.conditions("rice")
    assert (photo_labels.crop_in("background"), photo_labels.crop_in("common_bean__rust")) == ("", "common_bean")
    assert photo_labels.crop_name("common_bean", "en") == "common bean"
    assert photo_labels.crop_name("rice", "zh") == "水稻"
