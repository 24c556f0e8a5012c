"""What the training of photo models is made of: reading, varying, statistics, calibration, outsiders, configuration."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn_leaves import LABELS, build, leaf, leaves, save, save_photos, scaled
from PIL import Image
from transformers import MobileNetV2ForImageClassification, PreTrainedModel

from agri_llm.errors import BadInput, ModelMissing
from agri_llm.photos.quality import quality
from agri_llm.vision import Seen
from training import calibration, outsiders, photo_config, photo_data, photo_heads, photos
from training.photo_config import PhotoConfig

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "training/configs").glob("photos*.yaml"))


pytestmark = pytest.mark.usefixtures("one_thread")


def refused(call: Any, *arguments: Any) -> str:
    with pytest.raises(BadInput) as error:
        call(*arguments)
    sentence = str(error.value)
    assert sentence.isprintable()
    assert sentence.endswith(".")
    return sentence


# Reading


def table(folder: Path, *rows: str, head: str = "file_name,label,split", encoding: str = "utf-8") -> Path:
    leaf(LABELS[1], 1).photo.save(folder / "a.png")
    (folder / "metadata.csv").write_text("\n".join([head, *rows]) + "\n", encoding=encoding)
    return folder


def test_a_table_says_what_each_photo_shows(tmp_path: Path) -> None:
    rows = "a.png,tomato__rust,train,field,ours", "a.png,bean__rust,test,,"
    found = photo_data.read(table(tmp_path, *rows, head="file_name,label,split,domain,source"))
    assert [(each.label, each.crop, each.split, each.domain, each.source) for each in found] == [
        ("tomato__rust", "tomato", "train", "field", "ours"),
        ("bean__rust", "bean", "test", "", ""),
    ]
    assert all(each.path == tmp_path / "a.png" for each in found)


def test_a_table_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    assert photo_data.read(table(tmp_path, "a.png,tomato__rust,train", encoding="utf-8-sig"))[0].label == "tomato__rust"
    assert "UTF-8" in refused(photo_data.read, table(tmp_path, "a.png,tomato__rüst,train", encoding="latin-1"))


@pytest.mark.parametrize("line", ["a.png,,train", "a.png,tomato__rust,learn", "b.png,tomato__rust,train", ",x,train", "a.png"])
def test_the_line_of_a_table_that_is_wrong_is_named(tmp_path: Path, line: str) -> None:
    assert "Line 3 of metadata.csv" in refused(photo_data.read, table(tmp_path, "a.png,tomato__rust,train", line))


def test_a_folder_for_each_label_does_without_a_table(tmp_path: Path) -> None:
    for at in range(60):
        place = tmp_path / LABELS[at % 3]
        place.mkdir(exist_ok=True)
        leaf(LABELS[at % 3], at).photo.save(place / f"{at}.png")
    (tmp_path / LABELS[0] / "notes.txt").write_text("rain", encoding="utf-8")
    found = photo_data.read(tmp_path)
    assert Counter(each.label for each in found) == dict.fromkeys(LABELS, 20)
    counts = Counter(each.split for each in found)
    assert set(counts) == set(photo_data.SPLITS)
    assert counts["train"] > counts["validation"] + counts["test"]


def test_copies_of_a_photo_are_on_one_side(tmp_path: Path) -> None:
    for label in ("a__x", "b__x", "c__x"):
        (tmp_path / label).mkdir()
    for at in range(30):
        leaf(LABELS[1], at).photo.save(tmp_path / "a__x" / f"{at}.png")
        shutil.copy(tmp_path / "a__x" / f"{at}.png", tmp_path / "b__x" / f"copy of {at}.png")
        shutil.copy(tmp_path / "a__x" / f"{at}.png", tmp_path / "c__x" / f"{99 - at}.PNG")
    split = {each.path.relative_to(tmp_path).as_posix(): each.split for each in photo_data.read(tmp_path)}
    for at in range(30):
        assert split[f"a__x/{at}.png"] == split[f"b__x/copy of {at}.png"] == split[f"c__x/{99 - at}.PNG"]


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    assert "holds no photos" in refused(photo_data.read, tmp_path)


def test_a_file_that_is_no_photo_is_named(tmp_path: Path) -> None:
    table(tmp_path, "a.png,tomato__rust,train", "bad.jpg,tomato__rust,train")
    whole = (tmp_path / "a.png").read_bytes()
    for damaged in (b"only text", b"", whole[: len(whole) // 2]):
        (tmp_path / "bad.jpg").write_bytes(damaged) if damaged else (tmp_path / "bad.jpg").touch()
        assert "bad.jpg" in refused(photo_data.pixels, photo_data.read(tmp_path))


def test_photos_are_stored_in_one_size(tmp_path: Path) -> None:
    found = photo_data.pixels(photo_data.read(table(tmp_path, "a.png,tomato__rust,train")))
    assert (found.shape, found.dtype) == ((1, 3, photo_data.STORED, photo_data.STORED), np.uint8)


def test_labels_without_photos_to_learn_from_are_refused(tmp_path: Path) -> None:
    assert "none for b__x" in refused(photos.load, table(tmp_path, "a.png,a__x,train", "a.png,c__x,train", "a.png,b__x,test"))
    assert "1 labels" in refused(photos.load, table(tmp_path, "a.png,a__x,train"))
    assert "validation" in refused(photos.load, table(tmp_path, "a.png,a__x,train", "a.png,c__x,train"))


def test_crops_and_sources_can_be_left_out(tmp_path: Path) -> None:
    rows = [f"a.png,{label},{split},{source}" for label in ("a__x", "b__x", "c__x") for split in ("train", "validation")
            for source in ("one", "two")]  # fmt: skip
    found = photos.load(table(tmp_path, *rows, head="file_name,label,split,source"), "c, two")
    assert found.labels == ("a__x", "b__x")
    assert {each.source for each in found.listed} == {"one"}
    assert found.targets.tolist() == [0, 0, 1, 1]
    assert found.rows("validation").tolist() == [1, 3]


# Balance, variation


@pytest.mark.parametrize(
    ("balance", "counts"), [(0.0, [16, 4, 1]), (0.5, [16, 8, 4]), (1.0, [16, 16, 16])], ids=["none", "half", "full"]
)
def test_rare_labels_are_repeated_as_far_as_the_balance_says(balance: float, counts: list[int]) -> None:
    targets = np.repeat([0, 1, 2, 0], [16, 4, 1, 5])
    rows = np.arange(21)  # the last five belong to another split
    found = photos.balanced(rows, targets, balance)
    assert np.bincount(targets[found]).tolist() == counts
    assert set(found) == set(rows)


def test_varied_photos_keep_shape_and_range_and_depend_on_the_seed_alone() -> None:
    given = (scaled([each.photo for each in leaves(8, seed=1)]) + 1) / 2

    def make(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        np.random.default_rng().random()
        return photo_data.varied(given, 48, 0.35, 0.3)

    assert make(1).shape == (8, 3, 48, 48)
    assert float(make(1).min()) >= 0
    assert float(make(1).max()) <= 1
    assert torch.equal(make(1), make(1))
    assert not torch.allclose(make(1), make(2))
    assert float((given - photo_data.varied(given, 64, 0.35, 0.3)).abs().mean()) > 0.02


def test_varied_photos_still_show_a_plant() -> None:
    torch.manual_seed(3)
    given = torch.from_numpy(np.stack([np.asarray(leaf(LABELS[0], at, side=256).photo) for at in range(8)]))
    found = photo_data.varied(given.permute(0, 3, 1, 2).float() / 255, 256, 0.6, 0.1)
    shown = [Image.fromarray((each.permute(1, 2, 0).numpy() * 255).astype(np.uint8)) for each in found]
    assert all(quality(photo) != "no_plant" for photo in shown)


def test_mixed_targets_sum_to_one() -> None:
    torch.manual_seed(4)
    pixels, targets = torch.rand(6, 3, 8, 8), torch.eye(6)
    mixed_pixels, mixed_targets = photo_data.mixed(pixels, targets, 1.0)
    assert torch.allclose(mixed_targets.sum(1), torch.ones(6))
    assert torch.allclose(mixed_pixels, torch.einsum("ij,jchw->ichw", mixed_targets, pixels), atol=1e-6)
    unmixed = photo_data.mixed(pixels, targets, 0.0)
    assert unmixed[0] is pixels
    assert unmixed[1] is targets


# The network


def folded(model: PreTrainedModel) -> PreTrainedModel:
    """Put each normalisation into the convolution before it, as exports for phones do; what is computed stays the same."""
    convolution: torch.nn.Conv2d | None = None
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, torch.nn.Conv2d):
                convolution = layer
            elif isinstance(layer, torch.nn.BatchNorm2d):
                assert convolution is not None
                scale = layer.weight / torch.sqrt(layer.running_var + layer.eps)
                convolution.weight *= scale.view(-1, 1, 1, 1)
                layer.bias -= layer.running_mean * scale
                layer.running_mean.zero_()
                layer.running_var.fill_(1 - layer.eps)
                layer.weight.fill_(1)
    return model


def batches() -> list[torch.Tensor]:
    return list(scaled([each.photo for each in leaves(48, seed=5)]).split(16))


def logits(model: PreTrainedModel, pixels: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(pixel_values=pixels).logits
    return found


def uneven() -> MobileNetV2ForImageClassification:
    """A network whose normalisations scale and shift differently, as learned ones do."""
    model = build("mobilenet")
    torch.manual_seed(6)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.weight.uniform_(0.7, 1.6)
                layer.bias.uniform_(-0.5, 1.0)
    return model


def test_restored_statistics_change_nothing_that_is_computed() -> None:
    model, pixels = folded(uneven()).eval(), scaled([each.photo for each in leaves(9, seed=6)])
    before = logits(model, pixels)
    photos.restore_statistics(model, batches())
    assert torch.allclose(logits(model, pixels), before, atol=1e-3 * float(before.abs().max()))


def test_restored_statistics_let_a_folded_network_learn() -> None:
    whole = torch.cat(batches())
    model = folded(uneven())
    wanted = logits(model.eval(), whole)
    lost = float((logits(model.train(), whole) - wanted).abs().mean())
    model = folded(uneven())
    photos.restore_statistics(model, batches())
    kept = float((logits(model.train(), whole) - wanted).abs().mean())
    assert kept < 0.05 * lost
    assert kept < 0.05 * float(wanted.abs().mean())


def test_the_first_tensors_are_frozen() -> None:
    model = build("resnet")
    weights = list(model.parameters())
    photos.freeze(model, 0.5)
    learned = [weight.requires_grad for weight in weights]
    assert learned == sorted(learned)
    assert abs(sum(learned) - len(weights) / 2) <= 1
    photos.freeze(model, 0.0)
    assert all(weight.requires_grad for weight in weights)


def test_training_starts_in_single_precision_with_a_layer_for_our_labels(tmp_path: Path) -> None:
    save(build("vit").half(), tmp_path)
    config = PhotoConfig(data=tmp_path, model=str(tmp_path), out=tmp_path)
    model = photos.start(config, ["a", "b", "c", "d", "e"])
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert model.classifier.out_features == 5
    assert model.config.id2label[4] == "e"
    with pytest.raises(ModelMissing, match="cannot be loaded"):
        photos.start(replace(config, model=str(tmp_path / "nowhere")), ["a", "b"])


def test_the_probe_tells_apart_what_lies_apart() -> None:
    model, random = build("vit"), np.random.default_rng(7)
    targets = np.arange(60) % 3
    features = np.eye(32)[targets] * 3 + random.normal(0, 0.5, (60, 32))
    photo_heads.probe(model, Seen(views=(features.astype(np.float32),), logits=np.zeros((60, 3), np.float32)), targets, 0)
    with torch.no_grad():
        best = model.classifier(torch.from_numpy(features).float()).argmax(1).numpy()
    assert (best == targets).mean() == 1


def test_a_checkpoint_whose_writing_was_killed_is_passed_over(tmp_path: Path) -> None:
    assert photos.last_step(tmp_path / "steps") is None
    for number, state in ((9, "{}"), (18, "{}"), (27, '{"epo'), (100, None)):
        place = tmp_path / "steps" / f"checkpoint-{number}"
        place.mkdir(parents=True)
        if state is not None:
            (place / "trainer_state.json").write_text(state, encoding="utf-8")
    assert photos.last_step(tmp_path / "steps") == str(tmp_path / "steps" / "checkpoint-18")
    assert sorted(path.name for path in (tmp_path / "steps").iterdir()) == ["checkpoint-18", "checkpoint-9"]


# Calibration


def test_the_calibration_error_is_what_a_hand_computes() -> None:
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.45, 0.55]], np.float32)
    # Two of confidence 0.9, one right: |0.9 − 0.5|, half of all. 0.6 right and 0.55 wrong lie in bins of their own.
    error = calibration.calibration_error(shares, np.array([0, 1, 1, 0]))
    assert error == pytest.approx(0.5 * 0.4 + 0.25 * 0.4 + 0.25 * 0.55, abs=1e-6)
    assert calibration.calibration_error(np.eye(3, dtype=np.float32), np.arange(3)) == 0
    assert calibration.calibration_error(np.eye(3, dtype=np.float32), np.array([1, 2, 0])) == pytest.approx(1)


def drawn_logits(count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose shares are the truth, and targets drawn by them."""
    random = np.random.default_rng(8)
    made = random.normal(0, 1.5, (count, 4)).astype(np.float32)
    shares = np.exp(made) / np.exp(made).sum(axis=1, keepdims=True)
    return made, np.array([random.choice(4, p=each / each.sum()) for each in shares.astype(float)])


@pytest.mark.parametrize("factor", [0.5, 1.0, 4.0])
def test_temperature_takes_back_what_made_logits_too_sure(factor: float) -> None:
    made, targets = drawn_logits()
    warmth = calibration.temperature(made * factor, targets)
    assert warmth == pytest.approx(factor, rel=0.08)
    scaled_back = np.exp(made * factor / warmth)
    shares = scaled_back / scaled_back.sum(axis=1, keepdims=True)
    assert calibration.calibration_error(shares, targets) < 0.03


def sure(confidence: list[float], right: list[bool]) -> float:
    shares = np.array([[each, 1 - each] for each in confidence], np.float32)
    return calibration.certain_from(shares, np.array([0 if each else 1 for each in right]))


def test_certain_is_where_nearly_all_are_right() -> None:
    assert sure([0.99, 0.9, 0.8, 0.7, 0.6], [True, True, True, False, True]) == pytest.approx(0.8)
    assert sure([0.95] * 60 + [0.7], [True] * 60 + [False]) == pytest.approx(0.7)  # 60 of 61 are more than 0.98
    assert sure([0.9, 0.8], [True, True]) == pytest.approx(0.8)
    assert sure([0.9, 0.8], [False, True]) == 1
    assert calibration.certain_from(np.full((9, 4), 0.25, np.float32), np.zeros(9, int)) == 0.5


def test_typical_photos_are_of_every_label_and_have_length_one() -> None:
    random = np.random.default_rng(9)
    targets = np.repeat([0, 1, 2], [30, 20, 3])
    features = (np.eye(16)[targets] + random.normal(0, 0.05, (53, 16))).astype(np.float32)
    found = calibration.typical(features, targets, seed=0)
    assert Counter(found.argmax(axis=1).tolist()) == {0: calibration.PER_LABEL, 1: calibration.PER_LABEL, 2: 3}
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.array_equal(found, calibration.typical(features, targets, seed=0))


def test_scope_tells_known_photos_from_others(tmp_path: Path) -> None:
    random, targets = np.random.default_rng(10), np.arange(200) % 3

    def inside() -> Seen:
        near = np.eye(16)[targets] + random.normal(0, 0.1, (200, 16))
        return Seen(
            views=(near[:, :6].astype(np.float32), near.astype(np.float32)), logits=(8 * near[:, :3]).astype(np.float32)
        )

    def outside() -> Seen:
        far = random.normal(0, 0.3, (200, 16))
        return Seen(views=(far[:, :6].astype(np.float32), far.astype(np.float32)), logits=(8 * far[:, :3]).astype(np.float32))

    known = calibration.fit_scope(calibration.views(inside(), targets, seed=0), inside(), [outside()])
    known.save(tmp_path)
    again = type(known).open(tmp_path)
    assert again is not None
    for each in (known, again):
        new, foreign = inside(), outside()
        assert (each.scores(new.views, new.logits) >= each.threshold).mean() > 0.88  # 0.95 of those it was fitted on
        assert (each.scores(foreign.views, foreign.logits) < each.threshold).mean() > 0.95
    assert type(known).open(tmp_path / "nowhere") is None


# Outsiders


def test_drawn_outsiders_differ_by_seed_and_are_the_same_again() -> None:
    first = outsiders.drawn(10, 1)
    assert (first.shape, first.dtype) == ((10, 3, outsiders.SIDE, outsiders.SIDE), np.uint8)
    assert np.array_equal(first, outsiders.drawn(10, 1))
    other = outsiders.drawn(10, 2)
    assert all(not np.array_equal(one, two) for one, two in zip(first, other, strict=True))
    assert all(not np.array_equal(one, two) for one, two in zip(first[:5], first[5:], strict=True))


# Configuration


def written(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


NEEDED = "data: photos\nmodel: net\nout: run\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (NEEDED + "epoch: 3\n", "'epoch'"),
        (NEEDED + "epochs: many\n", "epochs to 'many'"),
        (NEEDED + "epochs: 2.5\n", "epochs to 2.5"),
        (NEEDED + "epochs: true\n", "epochs to True"),
        (NEEDED + "leave_out:\n", "leave_out to None"),
        (NEEDED + "mixup: [1]\n", "mixup to [1]"),
        ("model: net\nout: run\n", "'data'"),
        ("data: photos\nout: run\n", "'model'"),
        ("data: photos\nmodel: net\n", "'out'"),
        ("- 1\n", "no settings"),
        ("", "no settings"),
        ("data: [", "not YAML"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(tmp_path: Path, text: str, named: str) -> None:
    assert named in refused(photo_config.read, written(tmp_path, text), {})


def test_a_file_that_is_no_text_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_bytes(b"\xff\xfe\x00")
    assert "not YAML" in refused(photo_config.read, tmp_path / "run.yaml", {})


def test_what_is_given_goes_over_the_file(tmp_path: Path) -> None:
    found = photo_config.read(written(tmp_path, NEEDED + "seed: 3\nlearning_rate: 1e-4\n"), {"out": tmp_path})
    assert (found.data, found.out, found.seed, found.learning_rate) == (Path("photos"), tmp_path, 3, 1e-4)
    assert "seed=3" in photo_config.described(found)
    assert "\n" not in photo_config.described(found)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_our_configurations_name_what_is_missing_and_load_with_it(path: Path, tmp_path: Path) -> None:
    assert "'data'" in refused(photo_config.read, path, {})
    assert "'model'" in refused(photo_config.read, path, {"data": tmp_path})
    found = photo_config.read(path, {"data": tmp_path, "model": "net", "out": tmp_path})
    assert found.train_size < found.size
    assert photo_data.read(save_photos(tmp_path / "photos", 8, seed=1))


def test_there_are_configurations_for_a_laptop_and_a_gpu() -> None:
    assert [path.name for path in CONFIGS] == ["photos-gpu.yaml", "photos.yaml"]
