"""A photo model from drawn photos to `agri diagnose`: trained, killed, taken up again, asked."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import yaml
from drawn_leaves import LABELS, backgrounds, build, leaf, leaves, save, save_photos, teach
from safetensors.numpy import load_file

from agri_llm.photos import reception
from agri_llm.records import OTHER, Answer, Question
from agri_llm.vision import BACKGROUND, PhotoModel
from training import photo_config, photo_data, photos
from ui import cli, wiring

HEALTHY, RED, BROWN = LABELS
KEYS = [
    "file",
    "label",
    "confidence",
    "certain",
    "scope",
    "scope_score",
    "alternatives",
    "affected_area_percent",
    "quality",
]
PICKLED = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
SETTINGS = {
    "size": 64,
    "train_size": 64,
    "epochs": 3,
    "average_epochs": 2,
    "average_rate": 1e-4,
    "batch_size": 16,
    "frozen": 0.2,
    "learning_rate": 2e-4,
    "mixup": 0.05,
    "smallest": 0.8,
    "colour": 0.05,
    "seed": 3,
}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def told(self) -> list[str]:
        """The lines on standard error but the one about settings."""
        return [line for line in self.err.splitlines() if not line.startswith("Settings: ")]


Agri = Callable[..., Ended]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that knows such photos, but none of those it will learn from."""
    model = build("mobilenet", (*LABELS, BACKGROUND))
    teach(model, [*leaves(150, seed=1), *backgrounds(50, seed=1)], epochs=8, rate=1e-3, batch=16)
    return save(model, tmp_path_factory.mktemp("pretrained") / "mobilenet")


@pytest.fixture(scope="module")
def config(pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration for 120 drawn photos."""
    folder = tmp_path_factory.mktemp("training")
    save_photos(folder / "photos", 120, seed=2)
    said = {"data": str(folder / "photos"), "model": str(pretrained), "out": str(folder / "run"), **SETTINGS}
    (folder / "run.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    return folder / "run.yaml"


@pytest.fixture(scope="module")
def trained(config: Path) -> Path:
    """The folder of a model whose training nothing stopped."""
    return photos.train(photo_config.read(config, {}))


@pytest.fixture
def agri(tmp_path: Path, trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Agri:
    """Run `agri` with the tiny model."""
    for name in [name for name in os.environ if name.startswith("AGRI_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGRI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AGRI_PHOTO_MODEL", str(trained))

    def run(*arguments: object) -> Ended:
        wiring.settings.cache_clear()
        wiring.photo_model.cache_clear()
        monkeypatch.setattr(sys, "argv", ["agri", *map(str, arguments)])
        with mock.patch.dict(os.environ), pytest.raises(SystemExit) as end:
            cli.main()
        told = capsys.readouterr()
        return Ended(int(end.value.code or 0), told.out, told.err)

    return run


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model.safetensors")


# Training


def test_new_photos_are_told_apart(trained: Path, config: Path) -> None:
    tests = [each for each in photo_data.read(photo_config.read(config, {}).data) if each.split == "test"]
    model = PhotoModel(trained)
    pictures = [reception.image(reception.receive(each.path.read_bytes())) for each in tests]
    best = model.look(pictures).logits.argmax(axis=1)
    right = [model.labels[at] == each.label for at, each in zip(best, tests, strict=True)]
    assert len(right) >= 20
    assert np.mean(right) > 0.9


def test_the_model_folder_is_in_half_precision_and_holds_nothing_pickled(trained: Path) -> None:
    assert {values.dtype for name, values in weights(trained).items() if "num_batches" not in name} == {np.dtype("float16")}
    assert load_file(trained / "scope.safetensors")["0.typical"].dtype == np.float16
    names = [path.name for path in trained.rglob("*")]
    assert {"model.safetensors", "config.json", "photo.json", "scope.json", "scope.safetensors"} <= set(names)
    assert not [name for name in names if Path(name).suffix in PICKLED]


def test_a_photo_model_reads_it_without_what_it_was_made_from(trained: Path) -> None:
    model = PhotoModel(trained)
    assert model.labels == tuple(sorted((*LABELS, BACKGROUND)))
    assert (model.reading.size, model.reading.mean) == (64, [0.5, 0.5, 0.5])
    assert 0.04 <= model.reading.temperature <= 20
    found = model.diagnose([leaf(RED, 77).photo], crop="tomato", with_heat=True)
    assert found.label == RED
    assert found.heatmap is not None


def test_the_weights_are_a_mean_and_look_alike_at_photos(trained: Path) -> None:
    ends = [path / "model.safetensors" for path in (trained.parent / "averaged").glob("checkpoint-*")]
    last = max((trained.parent / "steps").glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    best = json.loads((last / "trainer_state.json").read_text(encoding="utf-8"))["best_model_checkpoint"]
    taken = [load_file(path) for path in (*ends, Path(best) / "model.safetensors")]
    assert len(taken) == 3
    found = weights(trained)
    statistics = ("num_batches_tracked", "running_mean", "running_var", "classifier.weight", "classifier.bias")
    moved = [name for name in found if not name.endswith(statistics) and not np.array_equal(taken[0][name], taken[1][name])]
    assert len(moved) > 50
    for name in moved:
        np.testing.assert_allclose(found[name], np.mean([each[name] for each in taken], axis=0), rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("phase", ["steps", "averaged"])
def test_a_killed_training_goes_on_and_ends_as_if_nothing_had_happened(
    agri: Agri, config: Path, trained: Path, tmp_path: Path, phase: str
) -> None:
    run = tmp_path / "run"
    arguments = ["train", "photos", str(config), "--out", str(run)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    with (tmp_path / "log").open("wb") as log:
        first = subprocess.Popen([sys.executable, "-m", "ui.cli", *arguments], env=environment, stdout=log, stderr=log)
        until = time.monotonic() + 120
        while not list(run.glob(f"{phase}/checkpoint-*/trainer_state.json")) and first.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.01)
        first.kill()
    assert first.wait() == -signal.SIGKILL, (tmp_path / "log").read_text(encoding="utf-8")
    assert not (run / "model").exists()
    torn = run / phase / "checkpoint-999"  # and one more, whose writing was killed
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"\0" * 100)

    ended = agri(*arguments)
    assert (ended.status, ended.out) == (0, f"The photo model is in {run / 'model'}.\n")
    whole, resumed = weights(trained), weights(run / "model")
    assert whole.keys() == resumed.keys()
    assert [name for name in whole if not np.array_equal(whole[name], resumed[name])] == []
    for name in ("scope.json", "config.json"):
        assert (trained / name).read_bytes() == (run / "model" / name).read_bytes()
    one, other = (json.loads((each / "photo.json").read_text())["reading"] for each in (trained, run / "model"))
    assert one == other

    again = agri(*arguments)  # nothing is left to do
    assert again.status == 0
    assert all(np.array_equal(resumed[name], values) for name, values in weights(run / "model").items())


@pytest.mark.parametrize(
    ("given", "named"),
    [(["--model", "/nowhere/net"], "/nowhere/net"), (["--data", "."], "holds no photos")],
    ids=["model", "data"],
)
def test_a_training_that_cannot_start_says_why_in_one_sentence(
    agri: Agri, config: Path, given: list[str], named: str, tmp_path: Path
) -> None:
    ended = agri("train", "photos", config, "--out", tmp_path / "run", *given)
    assert (ended.status, ended.out) == (1, "")
    (sentence,) = ended.told
    assert named in sentence
    assert sentence.endswith(".")


# agri diagnose


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Photos in folders within folders."""
    folder = tmp_path / "album"
    (folder / "north" / "plot 2").mkdir(parents=True)
    leaf(RED, 31).photo.save(folder / "a.jpg", quality=95)
    leaf(HEALTHY, 32).photo.save(folder / "north" / "b.PNG")
    leaf(BROWN, 33).photo.save(folder / "north" / "plot 2" / "c.webp", quality=95)
    (folder / "north" / "notes.txt").write_text("It rained.", encoding="utf-8")
    return folder


def bomb(place: Path) -> Path:
    """A PNG of some hundred bytes that says it has 3.6 billion pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 100_000)
    place.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return place


def test_json_has_the_documented_keys(agri: Agri, album: Path) -> None:
    ended = agri("diagnose", album / "a.jpg", "--json")
    assert (ended.status, ended.told) == (0, [])
    (line,) = ended.out.splitlines()
    row = json.loads(line)
    assert list(row) == KEYS
    assert (row["file"], row["label"], row["quality"]) == (str(album / "a.jpg"), RED, "good")
    assert 0 < row["confidence"] <= 1
    assert 0 <= row["scope_score"] <= 1
    assert row["scope"] in ("in", "unknown_plant", "not_a_plant")
    assert isinstance(row["certain"], bool)
    assert [list(each) for each in row["alternatives"]] == [["label", "confidence"]] * 3
    assert row["confidence"] + sum(each["confidence"] for each in row["alternatives"]) == pytest.approx(1, abs=1e-3)


def test_a_batch_is_every_photo_below_a_folder_by_name(agri: Agri, album: Path) -> None:
    ended = agri("diagnose", "--batch", album, "--json")
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert (ended.status, ended.told) == (0, [])
    assert [Path(row["file"]).relative_to(album).as_posix() for row in rows] == ["a.jpg", "north/b.PNG", "north/plot 2/c.webp"]
    assert [row["label"] for row in rows] == [RED, HEALTHY, BROWN]


def test_people_read_one_line_for_each_photo(agri: Agri, album: Path) -> None:
    ended = agri("diagnose", album / "a.jpg", album / "north" / "b.PNG")
    first, second = ended.out.splitlines()
    assert first.startswith(f"{album / 'a.jpg'}: {RED} ")
    assert "b.PNG" in second


def test_a_crop_is_understood_in_words_and_restricts_the_labels(agri: Agri, album: Path) -> None:
    for crop in ("tomatoes", "番茄"):
        row = json.loads(agri("diagnose", album / "north" / "plot 2" / "c.webp", "--crop", crop, "--json").out)
        assert {row["label"], *(each["label"] for each in row["alternatives"])} == {HEALTHY, RED, BACKGROUND}
    row = json.loads(agri("diagnose", album / "a.jpg", "--crop", "rice", "--json").out)
    assert (row["scope"], row["certain"], row["affected_area_percent"]) == ("unknown_plant", False, None)


def test_files_that_are_no_photos_are_named_and_the_rest_is_looked_at(agri: Agri, album: Path, tmp_path: Path) -> None:
    (tmp_path / "renamed.jpg").write_text("It rained.", encoding="utf-8")
    (tmp_path / "empty.jpg").touch()
    bad = [tmp_path / "renamed.jpg", tmp_path / "empty.jpg", bomb(tmp_path / "bomb.png"), album, tmp_path / "nowhere.jpg"]
    ended = agri("diagnose", *bad, album / "a.jpg", "--json")
    assert ended.status == 1
    assert [json.loads(line)["file"] for line in ended.out.splitlines()] == [str(album / "a.jpg")]
    assert len(ended.told) == len(bad)
    for path, sentence in zip(bad, ended.told, strict=True):
        assert path.name in sentence
        assert sentence.endswith(".")


def test_the_real_command_prints_nothing_but_json(agri: Agri, album: Path, tmp_path: Path) -> None:
    """Compiled libraries too write to standard output, which only a process of its own shows."""
    (tmp_path / "renamed.jpg").write_text("It rained.", encoding="utf-8")
    command = [sys.executable, "-m", "ui.cli", "diagnose", str(tmp_path / "renamed.jpg"), str(album / "a.jpg"), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    ended = Ended(ran.returncode, ran.stdout, ran.stderr)
    assert ended.status == 1
    assert [json.loads(line)["label"] for line in ended.out.splitlines()] == [RED]
    (sentence,) = ended.told
    assert "renamed.jpg" in sentence


def test_a_folder_without_photos_and_a_model_that_is_not_there_are_one_sentence(
    agri: Agri, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none").mkdir()
    ended = agri("diagnose", "--batch", tmp_path / "none", "--json")
    assert (ended.status, ended.out, len(ended.told)) == (1, "", 1)
    monkeypatch.setenv("AGRI_PHOTO_MODEL", str(tmp_path / "none"))
    ended = agri("diagnose", album / "a.jpg", "--json")
    assert (ended.status, ended.out, len(ended.told)) == (1, "", 1)
    assert "cannot be loaded" in ended.told[0]


def test_photos_or_a_folder_are_needed_and_not_both(agri: Agri, album: Path) -> None:
    for arguments in ([], [album / "a.jpg", "--batch", album]):
        ended = agri("diagnose", *arguments)
        assert (ended.status, ended.out) == (2, "")


def test_names_for_labels_come_from_a_file(agri: Agri, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = tmp_path / "names.json"
    names.write_text(json.dumps({RED: "tomato__late_blight"}), encoding="utf-8")
    monkeypatch.setenv("AGRI_PHOTO_LABELS", str(names))
    assert json.loads(agri("diagnose", album / "a.jpg", "--json").out)["label"] == "tomato__late_blight"
    names.write_text("[1]", encoding="utf-8")
    ended = agri("diagnose", album / "a.jpg", "--json")
    assert (ended.status, ended.out) == (1, "")
    assert "AGRI_PHOTO_LABELS" in ended.told[0]


# Corrections


def test_accepted_corrections_are_learned_from_and_others_are_not(
    agri: Agri, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wiring.store.cache_clear()
    agri("migrate")
    store = wiring.store()
    for at in range(3):
        path = tmp_path / f"{at}.png"
        leaf(RED, 500 + at).photo.save(path)
        question = Question(text="?", photos=(reception.receive(path.read_bytes()),))
        answer = Answer(question=question, kind="advice", text="Look.")
        store.save_turn(owner="amina", conversation_id=None, answer=answer)
        store.album.correct("amina", answer, RED if at else f"tomato__{OTHER}", "hail")
    lines = agri("train", "corrections", "--photos", tmp_path / "look").out.splitlines()
    ids = [line.split()[0] for line in lines]
    assert [line.split()[2] for line in lines] == ["new"] * 3
    assert sorted(path.stem for path in (tmp_path / "look").iterdir()) == sorted(ids)
    assert agri("train", "corrections", "--approve", ids[0], "--label", BROWN).out == "Decided on 1 correction.\n"
    assert agri("train", "corrections", "--approve", ids[1], "--reject", ids[2]).out == "Decided on 2 corrections.\n"
    seen: list[Path] = []
    monkeypatch.setattr(photos, "train", lambda chosen: seen.append(chosen.out) or chosen.out / "model")
    for expected in ("2 used, 0 left out.", "2 used, those with which this run began."):
        ended = agri("train", "photos", config, "--out", tmp_path / "run", "--from-feedback")
        assert (ended.status, ended.out.splitlines()[0]) == (0, f"Corrected photos: {expected}")
    assert seen == [tmp_path / "run"] * 2
    found = photo_data.read(tmp_path / "run" / "corrections")
    assert sorted(each.label for each in found) == sorted([BROWN, RED])
    assert {each.split for each in found} == {"train"}
    ended = agri("train", "corrections", "--approve", "nothing")
    assert (ended.status, len(ended.told)) == (1, 1)
    wiring.store.cache_clear()
