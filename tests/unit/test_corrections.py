"""Which corrected photos are learned from, and how a run finds them again."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from drawn_leaves import LABELS, leaf, save_photos

from agri_llm.errors import BadInput
from agri_llm.photos import reception
from agri_llm.records import OTHER, PhotoLabel
from training import corrections, photo_data, photos
from training.photo_data import LabelledPhoto

HEALTHY, RED, BROWN = LABELS


def said(sha256: str, label: str = RED) -> PhotoLabel:
    return PhotoLabel(sha256=sha256, label=label, author="amina", status="approved")


def sent(seed: int, label: str = RED) -> bytes:
    """A photo as it is kept after somebody sent it."""
    file = io.BytesIO()
    leaf(label, seed).photo.save(file, "PNG")
    return reception.receive(file.getvalue()).data


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def listed(tmp_path: Path) -> list[LabelledPhoto]:
    """Forty drawn photos with splits."""
    return photo_data.read(save_photos(tmp_path / "photos", 40, seed=5))


def test_corrections_of_known_labels_are_used_and_named_in_one_line(listed: list[LabelledPhoto]) -> None:
    chosen = corrections.choose([said("a"), said("b", BROWN), said("a")], listed)
    assert chosen.used == {"a": RED, "b": BROWN}
    assert chosen.described() == "Corrected photos: 2 used, 0 left out."
    assert corrections.choose([], listed).described() == "Corrected photos: 0 used, 0 left out."


def test_a_photo_of_validation_or_test_is_left_out_as_it_lies_there_and_as_it_was_sent_in(listed: list[LabelledPhoto]) -> None:
    files = [photo.path.read_bytes() for photo in listed if photo.split in ("validation", "test")]
    as_they_lie, as_sent = sha(files[0]), reception.receive(files[-1]).sha256
    chosen = corrections.choose([said(as_they_lie), said(as_sent), said("c")], listed)
    assert chosen.used == {"c": RED}
    assert chosen.left_out == {corrections.HELD_OUT: 2}
    taught = next(photo.path for photo in listed if photo.split == "train")
    assert corrections.choose([said(sha(taught.read_bytes()))], listed).left_out == {corrections.TAUGHT: 1}


def test_what_people_disagree_on_or_put_in_words_is_left_out(listed: list[LabelledPhoto]) -> None:
    chosen = corrections.choose([said("a"), said("a", BROWN), said("b", f"tomato__{OTHER}"), said("c")], listed)
    assert chosen.used == {"c": RED}
    assert chosen.left_out == {corrections.DISAGREE: 1, corrections.IN_WORDS: 1}


def test_a_new_label_needs_five_photos_and_is_named_where_it_has_fewer(listed: list[LabelledPhoto]) -> None:
    many = [said(f"m{at}", "okra__leaf_spot") for at in range(corrections.FEWEST)]
    few = [said(f"f{at}", "okra__mosaic") for at in range(corrections.FEWEST - 1)]
    chosen = corrections.choose([*many, *few], listed)
    assert set(chosen.used.values()) == {"okra__leaf_spot"}
    assert chosen.described() == ("Corrected photos: 5 used, 4 left out (4 fewer than 5 photos of a new label: okra__mosaic).")


def test_a_run_learns_its_corrections_and_is_never_judged_by_them(tmp_path: Path, listed: list[LabelledPhoto]) -> None:
    contents = {sha(data): data for data in (sent(900 + at) for at in range(3))}
    chosen = corrections.choose([said(each) for each in contents], listed)
    run = tmp_path / "run"
    assert not corrections.is_written(run)
    corrections.write(run, chosen, contents.__getitem__)
    assert corrections.is_written(run)
    found = photos.load(listed[0].path.parent, corrected=run / corrections.FOLDER)
    added = found.listed[len(listed) :]
    assert {each.path.stem for each in added} == set(contents)
    assert {(each.split, each.label, each.source) for each in added} == {("train", RED, corrections.SOURCE)}
    assert all(sha(each.path.read_bytes()) == each.path.stem for each in added)
    without = photos.load(listed[0].path.parent, corrections.SOURCE, run / corrections.FOLDER)
    assert len(without.listed) == len(listed)


def test_a_run_that_began_without_corrections_does_not_go_on_with_some(tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    with pytest.raises(BadInput, match="began without"):
        corrections.is_written(tmp_path)


def test_a_photo_that_went_meanwhile_leaves_nothing_half_written(tmp_path: Path, listed: list[LabelledPhoto]) -> None:
    data = sent(950)
    chosen = corrections.choose([said(sha(data)), said("gone")], listed)
    with pytest.raises(KeyError):
        corrections.write(tmp_path / "run", chosen, {sha(data): data}.__getitem__)
    assert not corrections.is_written(tmp_path / "run")
    corrections.write(tmp_path / "run", corrections.choose([said(sha(data))], listed), {sha(data): data}.__getitem__)
    assert len(photo_data.read(tmp_path / "run" / corrections.FOLDER)) == 1
