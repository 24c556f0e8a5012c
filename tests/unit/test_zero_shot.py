"""Models that compare photos with texts, tiny ones: what they say, how sure they may be, and what they are told to compare."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_eyes
import torch
from drawn_leaves import LABELS, build, leaf, leaves, save
from transformers import AutoProcessor, AutoTokenizer, SiglipModel

from agri_llm.errors import ModelMissing, SettingsInvalid
from agri_llm.photos.scope import unit
from agri_llm.records import BACKGROUND
from agri_llm.vision import ABOUT, crop_of
from agri_llm.zero_shot import ZeroShotModel, compares_texts
from knowledge_base import photo_labels, photo_prompts
from knowledge_base.terms import Glossary

HEALTHY, RED, BROWN = LABELS
TEXTS = {HEALTHY: "a green tomato leaf", RED: "a tomato leaf with a red spot", BROWN: "a bean leaf with a brown spot"}
SAID = {label: (text,) for label, text in TEXTS.items()}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP that has learned which text belongs to which drawn leaf."""
    folder = tmp_path_factory.mktemp("eyes") / "clip"
    tiny_eyes.teach_pairs(tiny_eyes.clip(folder, list(TEXTS.values())), folder, leaves(150, seed=12), TEXTS, epochs=30)
    return folder


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SigLIP that has learned nothing."""
    folder = tmp_path_factory.mktemp("eyes") / "siglip"
    tiny_eyes.siglip(folder, list(TEXTS.values()))
    return folder


def test_a_photo_belongs_to_the_text_that_is_nearest(clip: Path) -> None:
    model = ZeroShotModel(clip, SAID)
    right = [model.diagnose([each.photo]).label == each.label for each in leaves(30, seed=2)]
    assert sum(right) >= 27


def test_nothing_is_certain_without_figures_of_its_own_and_there_is_no_heat_map(clip: Path) -> None:
    found = ZeroShotModel(clip, SAID).diagnose([leaf(RED, 5).photo], with_heat=True)
    assert (found.label, found.certain, found.heatmap, found.scope) == (RED, False, None, "in")
    assert 0 < found.scope_score <= 1
    assert found.affected_area_percent is not None


def test_figures_beside_the_model_say_when_it_is_certain(clip: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip, tmp_path / "measured")
    (folder / ABOUT).write_text(json.dumps({"reading": {"temperature": 0.01, "certain_at": 0.8}}), encoding="utf-8")
    plain, measured = ZeroShotModel(clip, SAID), ZeroShotModel(folder, SAID)
    photos = [leaf(RED, 5).photo]
    assert measured.diagnose(photos).confidence > plain.diagnose(photos).confidence
    assert measured.diagnose(photos).certain


def test_shares_of_clip_are_those_of_transformers(clip: Path) -> None:
    photo = leaf(BROWN, 6).photo
    inputs = AutoProcessor.from_pretrained(clip)(text=list(TEXTS.values()), images=photo, padding=True, return_tensors="pt")
    inputs.pop("token_type_ids", None)
    with torch.no_grad():
        theirs = tiny_eyes.CLIPModel.from_pretrained(clip)(**inputs).logits_per_image
    assert np.allclose(ZeroShotModel(clip, SAID).look([photo]).logits, theirs.numpy(), atol=1e-3)


def test_siglip_gives_the_logits_of_transformers_and_its_sigmoid_as_scope(siglip: Path) -> None:
    photo, model = leaf(BROWN, 6).photo, ZeroShotModel(siglip, SAID)
    tokens = AutoTokenizer.from_pretrained(siglip)(
        list(TEXTS.values()), padding="max_length", max_length=tiny_eyes.TOKENS, return_tensors="pt"
    )
    pixels = model._prepare(images=[photo], return_tensors="pt").pixel_values
    with torch.no_grad():
        theirs = SiglipModel.from_pretrained(siglip)(input_ids=tokens["input_ids"], pixel_values=pixels).logits_per_image
    ours = model.look([photo])
    assert np.allclose(ours.logits, theirs.numpy(), atol=1e-3)
    assert model.in_scope(ours) == pytest.approx(float(torch.sigmoid(theirs.max())), abs=1e-4)
    assert model.diagnose([photo]).certain is False


def test_texts_of_one_label_become_their_mean(clip: Path) -> None:
    both = ZeroShotModel(clip, {RED: (TEXTS[RED], TEXTS[HEALTHY]), BROWN: (TEXTS[BROWN],)})
    single = ZeroShotModel(clip, SAID)._directions
    assert np.allclose(both._directions[0], unit((single[1:2] + single[0:1]) / 2)[0], atol=1e-5)


def test_many_photos_go_through_in_batches_and_a_crop_leaves_what_can_befall_it(clip: Path) -> None:
    model, photos = ZeroShotModel(clip, SAID), [each.photo for each in leaves(20, seed=3)]
    assert model.look(photos).logits.shape == (20, 3)
    assert crop_of(model.diagnose([leaf(BROWN, 7).photo], crop="tomato").label) == "tomato"
    assert model.diagnose(photos[:1], crop="vanilla").scope == "unknown_plant"


def test_the_kind_of_a_model_stands_in_its_config(clip: Path, siglip: Path, tmp_path: Path) -> None:
    assert compares_texts(str(clip))
    assert compares_texts(str(siglip))
    assert not compares_texts(str(save(build("vit"), tmp_path / "vit")))
    with pytest.raises(ModelMissing, match="nowhere"):
        compares_texts(str(tmp_path / "nowhere"))


def test_a_model_without_its_tokenizer_is_one_sentence(clip: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip, tmp_path / "mute")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelMissing) as error:
        ZeroShotModel(folder, SAID).diagnose([leaf(RED, 5).photo])
    assert str(error.value).isprintable()


# What the texts are


@pytest.mark.parametrize("language", sorted(photo_prompts.WORDINGS))
def test_every_language_of_the_glossary_says_every_label_differently(language: str) -> None:
    said = photo_prompts.texts([language])
    assert len(set(said.values())) == len(said) >= len(photo_labels.labels()) - 1  # two kinds of chilli have one name
    assert not any("{" in text or "__" in text for texts in said.values() for text in texts)
    tomato = Glossary.load().name("tomato", language)
    assert tomato in said["tomato__late_blight"][0]
    assert tomato in said["tomato__healthy"][0]


def test_several_languages_stand_side_by_side() -> None:
    said = photo_prompts.texts(["en", "zh"])
    assert said["potato__late_blight"] == ("a photo of potato leaves with late blight", "患有晚疫病的马铃薯叶片的照片")
    assert said["rice_pest__planthopper"][0] == "a photo of brown planthopper on rice"
    assert len(said) == len(photo_labels.labels())
    assert len(said[BACKGROUND]) == 4


@pytest.mark.parametrize(("languages", "found"), [([], "names no language"), (["en", "tlh"], "'tlh'")])
def test_a_language_that_cannot_be_spoken_is_one_sentence(languages: list[str], found: str) -> None:
    with pytest.raises(SettingsInvalid, match=found):
        photo_prompts.texts(languages)
