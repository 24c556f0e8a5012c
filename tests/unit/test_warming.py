"""What the server loads before anybody asks for it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from agri_llm.errors import ModelMissing
from ui import warming, wiring


def test_a_photo_is_looked_at_once_with_its_heat_map(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    class Model:
        def diagnose(self, photos: list[Any], **how: Any) -> None:
            asked.append(how)

    monkeypatch.setattr(wiring, "photo_model", Model)
    warming.begin_first_photo().join(10)
    assert asked == [{"with_heat": True}]


def test_a_photo_model_that_is_missing_stops_nobody(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def missing() -> None:
        raise ModelMissing("The photo model cannot be loaded", "no photo can be looked at", "give its folder")

    monkeypatch.setattr(wiring, "photo_model", missing)
    with caplog.at_level(logging.ERROR):
        warming.first_photo()
    assert "The photo model cannot be loaded" in caplog.text
