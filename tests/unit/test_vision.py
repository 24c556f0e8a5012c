"""What a photo model says of photos, with tiny networks that were taught to know drawn leaves."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_leaves import LABELS, SIZE, SPOTS, build, leaf, leaves, save, teach
from PIL import Image, ImageFilter
from transformers import ViTConfig, ViTForImageClassification

from agri_llm.errors import ModelMissing
from agri_llm.photos.scope import Known, View
from agri_llm.vision import ABOUT, BACKGROUND, PhotoModel, Seen, crop_of, network, views_and_logits

HEALTHY, RED, BROWN = LABELS
KINDS = ("resnet", "vit", "convnext", "mobilenet", "swin")
Folder = Callable[[str], Path]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def untaught(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Random networks by kind."""
    return cache(lambda kind: save(build(kind), tmp_path_factory.mktemp("untaught") / kind))


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Networks that know the drawn leaves, by kind."""

    def make(kind: str) -> Path:
        model = build(kind)
        teach(model, leaves(150, seed=12), epochs=30)
        return save(model, tmp_path_factory.mktemp("taught") / kind)

    return cache(make)


@pytest.fixture
def model(taught: Folder) -> PhotoModel:
    return PhotoModel(taught("resnet"))


def seen(*rows: list[float]) -> Seen:
    logits = np.array(rows, dtype=np.float32)
    return Seen(views=(np.zeros((len(rows), 32), np.float32),), logits=logits)


def read_as(folder: Path, place: Path, **reading: object) -> PhotoModel:
    """The same network with figures of its own."""
    place.mkdir()
    for file in folder.iterdir():
        (place / file.name).symlink_to(file)
    (place / ABOUT).write_text(json.dumps({"reading": {"size": SIZE, **reading}}), encoding="utf-8")
    return PhotoModel(place)


def sentence(error: pytest.ExceptionInfo[ModelMissing]) -> str:
    text = str(error.value)
    assert text.isprintable()
    assert text.endswith(".")
    return text


# Labels


def test_it_knows_new_leaves_as_it_was_taught(model: PhotoModel) -> None:
    for each in leaves(30, seed=2):
        assert model.diagnose([each.photo]).label == each.label


def test_a_map_of_names_gives_labels_of_others_ours(taught: Folder) -> None:
    named = PhotoModel(taught("resnet"), {RED: "tomato__late_blight"})
    assert named.labels == (HEALTHY, "tomato__late_blight", BROWN)
    assert named.diagnose([leaf(RED, 5).photo]).label == "tomato__late_blight"


def test_crops_are_called_as_in_the_glossary() -> None:
    assert crop_of("tomato__healthy") == "tomato"
    assert crop_of("common_bean__rust") == "bean"
    assert crop_of("sweet_potato__healthy") == "sweet-potato"


# Several photos, crop, certainty


def test_several_photos_count_by_the_mean_of_their_shares(model: PhotoModel) -> None:
    photos = [leaf(RED, 3).photo, leaf(RED, 4).photo, leaf(BROWN, 5).photo]
    alone = model.shares(model.look(photos).logits)
    together = model.diagnose(photos)
    assert together.label == RED
    assert together.confidence == pytest.approx(alone.mean(axis=0)[1], abs=1e-5)
    assert together.alternatives[0] == (BROWN, pytest.approx(alone.mean(axis=0)[2], abs=1e-5))


def test_many_photos_go_through_in_batches_and_give_the_same(model: PhotoModel) -> None:
    photos = [each.photo for each in leaves(40, seed=3)]
    at_once = model.look(photos).logits
    singly = np.concatenate([model.look([photo]).logits for photo in photos])
    assert np.allclose(at_once, singly, atol=1e-4)


def test_no_photo_at_all_is_a_mistake_of_the_caller(model: PhotoModel) -> None:
    with pytest.raises(ValueError, match="at least one"):
        model.diagnose([])


def test_a_crop_leaves_only_what_can_befall_it(model: PhotoModel) -> None:
    free, bound = model.judge(seen([1.0, 2.0, 2.1])), model.judge(seen([1.0, 2.0, 2.1]), crop="tomato")
    assert (free.label, bound.label) == (BROWN, RED)
    assert bound.confidence == pytest.approx(1 / (1 + np.exp(-1.0)), abs=1e-5)
    assert [label for label, _ in bound.alternatives] == [HEALTHY]
    assert bound.scope == "in"


def test_a_crop_it_never_learned_is_out_of_scope(model: PhotoModel) -> None:
    found = model.diagnose([leaf(RED, 6).photo], crop="vanilla")
    assert (found.scope, found.certain, found.affected_area_percent) == ("unknown_plant", False, None)
    assert found.label == RED


def test_what_shows_no_plant_is_said_so_whatever_the_crop(untaught: Folder) -> None:
    named = PhotoModel(untaught("vit"), {BROWN: BACKGROUND})
    for crop in (None, "tomato"):
        found = named.judge(seen([1.0, 2.0, 9.0]), crop=crop)
        assert (found.label, found.scope, found.certain) == (BACKGROUND, "not_a_plant", False)


def test_certain_needs_confidence(taught: Folder, tmp_path: Path) -> None:
    careful = read_as(taught("resnet"), tmp_path / "careful", certain_at=0.8)
    assert careful.judge(seen([0.0, 9.0, 0.0])).certain
    assert not careful.judge(seen([0.0, 1.0, 0.0])).certain


def test_certain_needs_scope(taught: Folder, tmp_path: Path) -> None:
    place = tmp_path / "strict"
    strict = read_as(taught("resnet"), place)
    typical = np.eye(4, 32, dtype=np.float32)
    plain = dict.fromkeys(("nearness 0", "energy", "share"), 1.0)
    weights = {"nearness 0": 9.0, "energy": 0.0, "share": 0.0, "bias": -4.0}
    centre = dict.fromkeys(plain, 0.0)
    Known(views=(View(typical=typical),), centre=centre, spread=plain, weights=weights, threshold=0.6).save(place)
    near = Seen(views=(typical[:1] + typical[1:2] + typical[2:3],), logits=np.array([[0, 9, 0]], np.float32))
    far = Seen(views=(np.eye(32, dtype=np.float32)[20:21],), logits=near.logits)
    assert (strict.judge(near).scope, strict.judge(near).certain) == ("in", True)
    assert (strict.judge(far).scope, strict.judge(far).certain) == ("unknown_plant", False)
    assert strict.judge(near).scope_score > 0.6 > strict.judge(far).scope_score


def test_what_another_version_wrote_about_scope_is_one_sentence(taught: Folder, tmp_path: Path) -> None:
    place = tmp_path / "older"
    older = read_as(taught("resnet"), place)
    (place / "scope.json").write_text('{"weights": {"nearness": 1.0}, "threshold": 0.3}', encoding="utf-8")
    with pytest.raises(ModelMissing) as error:
        older.judge(seen([0.0, 9.0, 0.0]))
    assert "train it with this version" in sentence(error)


def test_certain_needs_a_good_photo(model: PhotoModel) -> None:
    sharp = leaf(RED, 7).photo
    dark = sharp.point(lambda value: value // 8)
    assert model.diagnose([sharp]).certain
    found = model.diagnose([dark])
    assert (found.quality, found.certain) == ("too_dark", False)


def test_bad_photos_do_not_count_beside_good_ones(model: PhotoModel) -> None:
    good, blurred = leaf(RED, 8).photo, leaf(BROWN, 8).photo.filter(ImageFilter.GaussianBlur(9))
    assert model.diagnose([blurred]).quality == "blurred"
    assert model.diagnose([blurred, good]) == model.diagnose([good])
    assert model.diagnose([blurred, good]).quality == "good"


def test_temperature_changes_the_confidence_but_never_the_order(taught: Folder, tmp_path: Path) -> None:
    judged = [
        read_as(taught("resnet"), tmp_path / str(warmth), temperature=warmth).judge(seen([2.0, 3.0, 1.0]))
        for warmth in (0.5, 1.0, 4.0)
    ]
    assert {(found.label, *(label for label, _ in found.alternatives)) for found in judged} == {(RED, HEALTHY, BROWN)}
    assert judged[0].confidence > judged[1].confidence > judged[2].confidence > 1 / 3
    assert judged[1].confidence == pytest.approx(np.exp(3) / (np.exp(1) + np.exp(2) + np.exp(3)), abs=1e-5)


def test_the_affected_area_is_none_out_of_scope_and_nothing_on_healthy_leaves(model: PhotoModel) -> None:
    assert model.diagnose([leaf(HEALTHY, 9).photo]).affected_area_percent == 0
    assert model.diagnose([leaf(HEALTHY, 9).photo], crop="vanilla").affected_area_percent is None
    spotted = model.diagnose([leaf(BROWN, 9).photo]).affected_area_percent
    assert spotted is not None
    assert 2 < spotted < 20


# Heat maps


@pytest.mark.parametrize("kind", KINDS)
def test_a_heat_map_lies_between_0_and_1_for_every_kind_of_network(untaught: Folder, kind: str) -> None:
    model, photo = PhotoModel(untaught(kind)), leaf(RED, 10).photo
    maps = [model.heat(photo, label) for label in LABELS]
    for found in maps:
        assert found.ndim == 2
        assert min(found.shape) > 1
        assert found.min() >= 0
        assert found.max() <= 1
    assert max(found.max() for found in maps) == 1


@pytest.mark.parametrize("kind", ["resnet", "vit"])
def test_a_heat_map_lies_on_the_spot(taught: Folder, kind: str) -> None:
    model = PhotoModel(taught(kind))
    spotted = [each for each in leaves(30, seed=4) if SPOTS[each.label]]
    near = 0
    for each in spotted:
        found = model.heat(each.photo, each.label)
        row, column = np.unravel_index(found.argmax(), found.shape)
        across, down = (column + 0.5) / found.shape[1], (row + 0.5) / found.shape[0]
        near += max(abs(across - each.middle[0]), abs(down - each.middle[1])) < 0.2
    assert near >= 0.8 * len(spotted)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_thing_asked_may_be_a_heat_map(untaught: Folder, kind: str) -> None:
    found = PhotoModel(untaught(kind)).diagnose([leaf(RED, 11).photo], with_heat=True)
    assert found.heatmap is not None
    picture = Image.open(io.BytesIO(found.heatmap))
    assert (picture.format, picture.size) == ("JPEG", (128, 128))


def test_the_picture_of_a_heat_map_is_red_on_the_spot(model: PhotoModel) -> None:
    drawn = leaf(BROWN, 12)
    found = model.diagnose([drawn.photo], with_heat=True)
    assert found.heatmap is not None
    redder = np.asarray(Image.open(io.BytesIO(found.heatmap)), dtype=float)[..., 0] - np.asarray(drawn.photo)[..., 0]
    across, down = (int(128 * share) for share in drawn.middle)
    assert redder[down - 4 : down + 4, across - 4 : across + 4].mean() > redder.mean() + 20


# Networks that cannot be used, and threads


def test_features_are_what_goes_into_the_last_layer(untaught: Folder) -> None:
    net = network(str(untaught("vit")))
    with torch.no_grad():
        views, logits = views_and_logits(net, torch.rand(2, 3, SIZE, SIZE))
        assert torch.allclose(net.classifier(views[-1]), logits, atol=1e-6)


def test_weights_that_are_pickled_are_not_loaded(untaught: Folder, tmp_path: Path) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((untaught("vit") / name).read_bytes())
    torch.save(build("vit").state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelMissing) as error:
        PhotoModel(tmp_path).diagnose([leaf(RED, 13).photo])
    assert "safetensors" in sentence(error)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing) as error:
        PhotoModel(tmp_path / "nowhere").diagnose([leaf(RED, 13).photo])
    assert "nowhere" in sentence(error)


@pytest.mark.parametrize("damage", ["weights cut off", "no way to scale photos"])
def test_a_damaged_model_is_named(untaught: Folder, tmp_path: Path, damage: str) -> None:
    for file in untaught("vit").iterdir():
        content = file.read_bytes()
        (tmp_path / file.name).write_bytes(content[:5000] if file.suffix == ".safetensors" and "cut" in damage else content)
    if "scale" in damage:
        (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ModelMissing) as error:
        PhotoModel(tmp_path).diagnose([leaf(RED, 13).photo])
    assert str(tmp_path) in sentence(error)


def test_a_model_without_a_linear_head_is_refused(tmp_path: Path) -> None:
    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=SIZE)
    config.num_labels = 0
    save(ViTForImageClassification(config), tmp_path)
    with pytest.raises(ModelMissing) as error:
        PhotoModel(tmp_path).diagnose([leaf(RED, 13).photo])
    assert "linear layer" in sentence(error)


def test_threads_that_share_a_model_get_what_one_alone_gets(taught: Folder, model: PhotoModel) -> None:
    photos = [each.photo for each in leaves(12, seed=5)]
    alone = [model.diagnose([photo], with_heat=True) for photo in photos]
    shared, found = PhotoModel(taught("resnet")), {}

    def ask(which: int) -> None:
        found[which] = [shared.diagnose([photo], with_heat=True) for photo in photos]

    threads = [threading.Thread(target=ask, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: alone, 1: alone}


def test_a_crop_that_the_photo_contradicts_makes_nothing_certain(untaught: Folder) -> None:
    model = PhotoModel(untaught("resnet"))
    at = model.labels.index("common_bean__brown_spot")
    logits = np.zeros((1, len(model.labels)), dtype=np.float32)
    logits[0, at], logits[0, model.labels.index("tomato__red_spot")] = 40.0, 20.0
    seen = Seen(views=(np.zeros((1, 4), dtype=np.float32),), logits=logits)
    assert model.judge(seen).certain
    narrowed = model.judge(seen, "tomato")
    assert (narrowed.label, narrowed.certain) == ("tomato__red_spot", False)
    assert narrowed.confidence < 0.01  # nearly nothing on the photo fits a tomato
