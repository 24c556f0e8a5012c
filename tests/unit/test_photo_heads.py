"""The last layer of a photo model, fitted again when the training is over."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn_leaves import LABELS, build

from agri_llm import vision
from agri_llm.vision import Seen
from training import photo_heads


def drawn(count: int, labels: int, wide: int, seed: int) -> tuple[Seen, np.ndarray]:
    """Return features around a middle for each label, with logits that say nothing."""
    rng = np.random.default_rng(seed)
    middles = np.random.default_rng(7).normal(0, 3, (labels, wide))
    targets = np.arange(count) % labels
    features = (middles[targets] + rng.normal(0, 1, (count, wide))).astype(np.float32)
    return Seen(views=(features,), logits=np.zeros((count, labels), np.float32)), targets


@pytest.mark.parametrize("labels", [2, 3])
def test_a_layer_that_tells_apart_more_takes_the_place_of_the_trained_one(labels: int) -> None:
    model = build("resnet", LABELS[:labels])
    layer = vision.last_layer(model)
    taught, targets = drawn(90, labels, layer.in_features, 1)
    held, truth = drawn(30, labels, layer.in_features, 2)
    assert photo_heads.discriminate(model, taught, targets, held, truth)
    logits = layer.half().float()(torch.from_numpy(held.features)).detach().numpy()
    assert (logits.argmax(axis=1) == truth).all()
    assert np.abs(logits).max() < 100


def test_a_layer_that_is_no_better_stays_out() -> None:
    model = build("resnet", LABELS[:3])
    layer = vision.last_layer(model)
    taught, targets = drawn(90, 3, layer.in_features, 1)
    held, truth = drawn(30, 3, layer.in_features, 2)
    right = Seen(views=held.views, logits=np.eye(3, dtype=np.float32)[truth])
    before = layer.weight.detach().clone()
    assert not photo_heads.discriminate(model, taught, targets, right, truth)
    assert torch.equal(layer.weight, before)
