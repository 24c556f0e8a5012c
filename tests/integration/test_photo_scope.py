"""Signs of scope, weighed by a model that was trained without a crop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_leaves import LABELS, backgrounds, build, leaves, save, teach

from agri_llm.errors import BadInput
from agri_llm.photos.scope import Known
from agri_llm.vision import BACKGROUND, PhotoModel
from training import photo_scope, photos
from training.photo_config import PhotoConfig

HEALTHY, RED, BROWN = LABELS
NAMED = {HEALTHY: "maize__healthy", BROWN: "maize__common_rust", RED: "bean__rust", BACKGROUND: BACKGROUND}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> PhotoConfig:
    """A training of 120 drawn photos of two crops, without one of them."""
    folder = tmp_path_factory.mktemp("folds")
    network = build("mobilenet", (*LABELS, BACKGROUND))
    teach(network, [*leaves(60, seed=1), *backgrounds(20, seed=1)], epochs=3, rate=1e-3, batch=16)
    rows = ["file_name,label,split,domain,source"]
    for at, each in enumerate([*leaves(90, seed=2), *backgrounds(30, seed=2)]):
        each.photo.save(folder / f"{at}.png")
        split = ("train", "train", "validation", "test")[at // 3 % 4]
        rows.append(f"{at}.png,{NAMED[each.label]},{split},lab,drawn")
    (folder / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")
    model = str(save(network, folder / "net"))
    return PhotoConfig(data=folder, model=model, out=folder / "run", size=64, train_size=64, epochs=1, leave_out="bean")


@pytest.fixture(scope="module")
def run(config: PhotoConfig) -> Path:
    photos.train(config)
    return config.out


def test_a_run_without_a_crop_is_asked_about_that_crop(run: Path, config: PhotoConfig) -> None:
    fold = photo_scope.fold(run, photos.load(config.data))
    assert fold.left_out == "bean"
    assert set(fold.inside) == set(fold.plants) == set(fold.others) == {"validation", "test"}
    names = {"energy", "share", *(f"nearness {at}" for at in range(4)), *(f"fit {at}" for at in range(3))}
    assert names <= set(fold.plants["test"]) | {"fit 3"}
    counts = {len(values) for values in fold.plants["test"].values()}
    assert counts == {sum(photo.crop == "bean" and photo.split == "test" for photo in photos.load(config.data).listed)}
    inside = fold.inside["validation"]
    assert all(abs(float(values.mean())) < 0.5 for values in inside.values())  # counted from photos in scope


def test_weights_that_are_fitted_anew_are_kept_with_the_model(run: Path, config: PhotoConfig) -> None:
    before = Known.open(run / "model")
    found = photo_scope.refit(run / "model", [run], config.data)
    after = Known.open(run / "model")
    assert before is not None
    assert after is not None
    assert after.weights == found.weights != before.weights
    assert all(np.array_equal(one.typical, other.typical) for one, other in zip(before.views, after.views, strict=True))
    known = [
        at for at, photo in enumerate(photos.load(config.data).listed) if photo.split == "validation" and photo.crop == "maize"
    ]
    pixels = photos.load(config.data).pixels[known]
    model = PhotoModel(run / "model")
    seen = photos.Eyes(model.network, photo_scope.looking(model)).look(pixels)
    assert (after.scores(seen.views, seen.logits) >= after.threshold).mean() >= 0.9  # 0.95 were let through, of a few photos


def test_runs_that_tell_nothing_are_refused(run: Path, config: PhotoConfig, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no finished model"):
        photo_scope.fold(tmp_path, photos.load(config.data))
    with pytest.raises(BadInput, match="left no crop out"):
        photo_scope.fold(run, replace(photos.load(config.data, "bean")))
    with pytest.raises(BadInput, match="holds no photo model of ours"):
        photo_scope.refit(tmp_path, [run], config.data)
