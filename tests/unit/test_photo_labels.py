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
