"""The photo model that ships: small, described, without pickle or paths, and it does not take everything for a leaf."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from agri_llm.vision import SHIPPED, PhotoModel
from knowledge_base import photo_labels
from training import outsiders, photo_config

FOLDER = Path(SHIPPED)


@pytest.fixture(scope="module")
def model() -> PhotoModel:
    return PhotoModel(SHIPPED)


def test_it_is_small_and_holds_no_pickle() -> None:
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert sum(files.values()) < 12 * 2**20
    assert {Path(name).suffix for name in files} == {".json", ".safetensors", ".md"}
    with safe_open(FOLDER / "model.safetensors", "np") as weights:
        assert {weights.get_tensor(name).dtype for name in weights.keys() if "num_batches" not in name} == {np.dtype("f2")}  # noqa: SIM118


def test_nothing_in_it_says_where_it_was_made() -> None:
    for path in FOLDER.glob("*.json"):
        assert "/" not in path.read_text(encoding="utf-8").replace("</", "")


def test_it_can_be_made_again_from_the_configuration() -> None:
    trained = json.loads((FOLDER / "photo.json").read_text(encoding="utf-8"))["trained"]
    config = photo_config.read(
        Path(photo_config.__file__).parent / "configs" / "photos.yaml", {"data": "d", "model": "m", "out": "o"}
    )
    for name in ("size", "train_size", "frozen", "epochs", "learning_rate", "mixup", "swap", "smallest", "seed"):
        assert float(trained[name]) == float(getattr(config, name)), name


def test_every_label_has_a_sheet_and_stands_in_the_card(model: PhotoModel) -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(model.labels) == 52
    for label in model.labels:
        assert photo_labels.sheet_of(label)
        assert f"| {label} |" in card


def test_drawn_pictures_without_a_plant_are_mostly_refused(model: PhotoModel) -> None:
    drawn = [Image.fromarray(values.transpose(1, 2, 0)) for values in outsiders.drawn(30, seed=7)]
    found = [model.diagnose([picture]) for picture in drawn]
    assert sum(one.scope != "in" or one.quality != "good" for one in found) >= 25
    assert sum(one.certain for one in found) <= 1
