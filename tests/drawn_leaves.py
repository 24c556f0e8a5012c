"""Leaves drawn with a red spot, a brown one or none, which tiny networks learn in seconds, and such networks."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    MobileNetV2Config,
    MobileNetV2ForImageClassification,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
    SwinConfig,
    SwinForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

from agri_llm.vision import BACKGROUND
from training import outsiders

GREEN = (62, 128, 52)
SPOTS = {"tomato__healthy": None, "tomato__red_spot": (195, 40, 40), "common_bean__brown_spot": (112, 70, 30)}
LABELS = tuple(SPOTS)
SIZE = 64  # pixels that the networks see
HALF = 0.5, 0.5, 0.5


class Drawn(NamedTuple):
    """A photo, what it shows, and where the middle of the spot would be, as shares of width and height."""

    photo: Image.Image
    label: str
    middle: tuple[float, float]


def leaf(label: str, seed: int, side: int = 128) -> Drawn:
    """Draw a leaf on a plain sheet, four times too large and scaled down, with the grain of a photo."""
    random = np.random.default_rng(seed)
    scale, sheet = 4 * side / 100, int(random.integers(140, 240))
    large = Image.new("RGB", (4 * side, 4 * side), (sheet, sheet, sheet - 6))
    pen = ImageDraw.Draw(large)
    left, top, right, bottom = (float(value) * scale for value in random.integers([5, 5, 82, 82], [15, 15, 95, 95]))
    pen.ellipse((left, top, right, bottom), fill=GREEN)
    across, down, radius = (int(value) for value in random.integers([33, 33, 10], [67, 67, 14]))
    colour = SPOTS[label]
    if colour is not None:
        box = (across - radius, down - radius, across + radius, down + radius)
        pen.ellipse(tuple(scale * value for value in box), fill=colour)
    small = np.asarray(large.resize((side, side), Image.Resampling.BOX), dtype=float)
    grain = random.normal(0, 3, small.shape)
    photo = Image.fromarray(np.clip(small + grain, 0, 255).astype(np.uint8))
    return Drawn(photo, label, (across / 100, down / 100))


def leaves(count: int, seed: int) -> list[Drawn]:
    """Draw leaves of all labels in turn."""
    return [leaf(LABELS[at % len(LABELS)], 1000 * seed + at) for at in range(count)]


def backgrounds(count: int, seed: int) -> list[Drawn]:
    """Draw pictures that show no plant."""
    shown = (Image.fromarray(values.transpose(1, 2, 0)) for values in outsiders.drawn(count, seed))
    return [Drawn(photo, BACKGROUND, (0.5, 0.5)) for photo in shown]


def build(kind: str, labels: tuple[str, ...] = LABELS) -> PreTrainedModel:
    """Make a tiny random classifier."""
    torch.manual_seed(0)
    names: dict[str, Any] = {"id2label": dict(enumerate(labels)), "image_size": SIZE}
    if kind == "mobilenet":
        return _measured(
            MobileNetV2ForImageClassification(
                MobileNetV2Config(depth_multiplier=0.35, finegrained_output=False, classifier_dropout_prob=0.0, **names)
            )
        )
    if kind == "convnext":
        stages: dict[str, Any] = {"num_stages": 2, "hidden_sizes": [16, 32], "depths": [1, 1]}
        return ConvNextForImageClassification(ConvNextConfig(layer_scale_init_value=0.1, **stages, **names))
    if kind == "resnet":
        return ResNetForImageClassification(
            ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", **names)
        )
    if kind == "swin":
        return SwinForImageClassification(SwinConfig(embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4, **names))
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    return ViTForImageClassification(ViTConfig(patch_size=8, **size, **names))


def _measured(model: PreTrainedModel) -> PreTrainedModel:
    """Give a deep random network the statistics of drawn leaves, without which nothing would reach its last layer."""
    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    for layer in layers:
        layer.momentum = None  # the mean of all batches
    with torch.no_grad():
        model.train()(pixel_values=scaled([each.photo for each in leaves(30, seed=9)]))
    for layer in layers:
        layer.momentum = 0.1
    return model.eval()


def teach(model: PreTrainedModel, photos: list[Drawn], epochs: int, rate: float = 3e-3, batch: int = 30) -> None:
    """Train a classifier in the plainest way, always in the same order."""
    numbers = {label: at for at, label in model.config.id2label.items()}
    pixels, targets = scaled([each.photo for each in photos]), torch.tensor([numbers[each.label] for each in photos])
    steps = torch.optim.AdamW(model.parameters(), lr=rate)
    order = torch.Generator().manual_seed(0)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(photos), generator=order).split(batch):
            steps.zero_grad()
            torch.nn.functional.cross_entropy(model(pixel_values=pixels[rows]).logits, targets[rows]).backward()
            steps.step()
    model.eval()


def scaled(photos: list[Image.Image]) -> torch.Tensor:
    """Return photos as a network takes them."""
    squares = [np.asarray(photo.resize((SIZE, SIZE), Image.Resampling.BILINEAR), dtype=np.float32) for photo in photos]
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2) / 127.5 - 1


def save(model: PreTrainedModel, folder: Path) -> Path:
    """Save a classifier with what says how it wants its photos."""
    model.save_pretrained(folder)
    wanted = {"image_processor_type": "ViTImageProcessor", "size": {"height": SIZE, "width": SIZE}}
    means = {"image_mean": HALF, "image_std": HALF}
    (folder / "preprocessor_config.json").write_text(json.dumps({**wanted, **means}), encoding="utf-8")
    return folder


def save_photos(folder: Path, count: int, seed: int) -> Path:
    """Write photos of all labels and pictures that show none, with metadata.csv: of ten, six to learn and two of each other."""
    folder.mkdir(parents=True, exist_ok=True)
    without = backgrounds(count // 4, seed)
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "label", "split"])
        for at, each in enumerate([*leaves(count - len(without), seed), *without]):
            each.photo.resize((128, 128)).save(folder / f"{at}.png")
            place = at // len(LABELS) % 10 if each.label != BACKGROUND else at % 10
            table.writerow([f"{at}.png", each.label, "train" if place < 6 else "validation" if place < 8 else "test"])
    return folder
