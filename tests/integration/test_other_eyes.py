"""Other models that look at photos, chosen by settings, from the command to the network or the server that answers."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
import tiny_eyes
from drawn_leaves import SIZE, build, leaf, save
from PIL import Image
from streamlit.testing.v1 import AppTest
from test_endpoint_writer import ModelServer, Turn, finish, say_nothing, status

from agri_llm.vision import ABOUT
from knowledge_base import photo_prompts
from ui import cli, wiring

KEY = "sk-secret-0123456789"
CACHED = (wiring.settings, wiring.photo_model, wiring.photo_describer)
THEIRS = ("Tomato Healthy", "Tomato Late blight", "Bean Rust")
NAMES = dict(zip(THEIRS, ("tomato__healthy", "tomato__late_blight", "common_bean__rust"), strict=True))
pytestmark = pytest.mark.usefixtures("one_thread")


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    rows: list[dict[str, Any]]
    err: str


Diagnose = Callable[..., Ended]


@pytest.fixture
def diagnose(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Diagnose]:
    """`agri diagnose --json` on one photo with other settings than the defaults."""
    monkeypatch.chdir(tmp_path)
    photo = tmp_path / "leaf.jpg"
    notes = Image.Exif()
    notes[0x010E] = "taken at home"
    leaf("tomato__red_spot", 3, side=1300).photo.save(photo, exif=notes)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AGRI_")}

    def run(**chosen: object) -> Ended:
        for part in CACHED:
            part.cache_clear()
        given = {f"AGRI_{name.upper()}": str(value) for name, value in chosen.items()}
        monkeypatch.setattr(sys, "argv", ["agri", "diagnose", "leaf.jpg", "--json"])
        capsys.readouterr()
        environment = {**kept, "AGRI_HOME": str(tmp_path), **given}
        with mock.patch.dict(os.environ, environment, clear=True), pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        errors = "\n".join(line for line in said.err.splitlines() if not line.startswith("Settings: "))
        return Ended(int(end.value.code or 0), [json.loads(line) for line in said.out.splitlines()], errors)

    yield run
    for part in CACHED:
        part.cache_clear()


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of somebody else, with names of its own for its labels, that is always sure."""
    folder = save(build("vit", THEIRS), tmp_path_factory.mktemp("eyes") / "vit")
    reading = {"size": SIZE, "certain_at": 0.0, "temperature": 0.01}
    (folder / ABOUT).write_text(json.dumps({"reading": reading}), encoding="utf-8")
    return folder


def names(folder: Path, content: object = NAMES) -> Path:
    path = folder / "names.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


# Classifiers of others


def test_a_classifier_of_others_speaks_with_our_labels(diagnose: Diagnose, classifier: Path, tmp_path: Path) -> None:
    ended = diagnose(photo_model=classifier, photo_labels=names(tmp_path))
    assert ended.status == 0, ended.err
    [found] = ended.rows
    assert {found["label"], *(one["label"] for one in found["alternatives"])} == set(NAMES.values())
    assert "seen" not in found


def test_two_of_their_labels_may_be_one_of_ours(diagnose: Diagnose, classifier: Path, tmp_path: Path) -> None:
    joined = {**dict.fromkeys(THEIRS[:2], "tomato__late_blight"), THEIRS[2]: "common_bean__rust"}
    [found] = diagnose(photo_model=classifier, photo_labels=names(tmp_path, joined)).rows
    shares = [found["confidence"], *(one["confidence"] for one in found["alternatives"])]
    assert len(shares) == 2
    assert sum(shares) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no json", "cannot be read"),
        ([1], "holds no names"),
        ({}, "holds no names"),
        ({"Bean Rust": 5}, "no label of ours"),
        ({"Bean Rust": "bean rust"}, "no label of ours"),
        ({"Been Rust": "common_bean__rust"}, "has no such label"),
    ],
)
def test_a_wrong_map_of_labels_is_one_sentence(
    diagnose: Diagnose, classifier: Path, tmp_path: Path, content: object, said: str
) -> None:
    ended = diagnose(photo_model=classifier, photo_labels=names(tmp_path, content))
    assert (ended.status, ended.rows) == (1, [])
    assert ended.err.startswith("AGRI_PHOTO_LABELS ")
    assert said in ended.err
    assert "\n" not in ended.err


def test_a_map_that_is_not_there_is_one_sentence(diagnose: Diagnose, classifier: Path) -> None:
    ended = diagnose(photo_model=classifier, photo_labels="nowhere.json")
    assert ended.status == 1
    assert "nowhere.json" in ended.err
    assert "\n" not in ended.err


# Models that compare photos with texts


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_model_that_compares_texts_knows_all_our_labels(diagnose: Diagnose, tmp_path: Path, kind: str) -> None:
    texts = photo_prompts.texts(["en", "zh"])
    getattr(tiny_eyes, kind)(tmp_path / kind, [text for said in texts.values() for text in said])
    ended = diagnose(photo_model=tmp_path / kind, photo_languages="en, zh")
    assert ended.status == 0, ended.err
    [found] = ended.rows
    assert found["label"] in texts
    assert found["certain"] is False
    assert 0 < found["confidence"] < 1


def test_texts_of_ones_own_may_be_compared(diagnose: Diagnose, tmp_path: Path) -> None:
    own = {"rust on teff": "teff__rust", "brown teff": "teff__rust", "green teff": "teff__healthy"}
    tiny_eyes.clip(tmp_path / "clip", list(own))
    [found] = diagnose(photo_model=tmp_path / "clip", photo_labels=names(tmp_path, own)).rows
    assert {found["label"], *(one["label"] for one in found["alternatives"])} == {"teff__rust", "teff__healthy"}


def test_words_that_the_model_does_not_know_are_one_sentence(diagnose: Diagnose, tmp_path: Path) -> None:
    tiny_eyes.clip(tmp_path / "clip", ["a photo of leaves with"])
    ended = diagnose(photo_model=tmp_path / "clip")
    assert ended.status == 1
    assert "alike" in ended.err
    assert "\n" not in ended.err


# A second model that describes


def told(**changed: object) -> Turn:
    said = {"description": "Red spots.", "questions": ["Is it wet below?"], "label": "tomato__late_blight", **changed}
    return finish({"choices": [{"delta": {"content": json.dumps(said)}, "finish_reason": "stop"}]}, "[DONE]")


@pytest.fixture
def server() -> Iterator[ModelServer]:
    running = ModelServer()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.stopping.set()
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def described(diagnose: Diagnose, classifier: Path, server: ModelServer, tmp_path: Path) -> Diagnose:
    """The command with the classifier above, and a server whose turns a test writes."""

    def run(turn: Turn, **more: object) -> Ended:
        server.script = [turn]
        chosen: dict[str, object] = {"photo_model": classifier, "photo_labels": names(tmp_path), "endpoint_url": server.url}
        chosen |= {"photo_describer": "true", "photo_describer_model": "qwen-vl", "endpoint_key": KEY}
        return diagnose(**{**chosen, **more})

    return run


@pytest.fixture
def alone(diagnose: Diagnose, classifier: Path, tmp_path: Path) -> dict[str, Any]:
    """What the classifier says by itself."""
    return diagnose(photo_model=classifier, photo_labels=names(tmp_path)).rows[0]


def test_the_server_gets_the_photo_without_notes_the_key_and_the_labels(
    described: Diagnose, server: ModelServer, alone: dict[str, Any]
) -> None:
    ended = described(told(label=alone["label"]))
    assert (ended.status, ended.err) == (0, "")
    seen = {"text": "Red spots.", "questions": ["Is it wet below?"], "label": alone["label"]}
    assert ended.rows == [{**alone, "seen": seen}]
    [(path, key, request)] = server.requests
    assert (path, key, request["model"]) == ("/v1/chat/completions", f"Bearer {KEY}", "qwen-vl")
    system, asked = request["messages"]
    assert all(label in system["content"] for label in NAMES.values())
    url = asked["content"][0]["image_url"]["url"]
    data = base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))
    picture = Image.open(io.BytesIO(data))
    assert (picture.size, dict(picture.getexif()), b"home" in data) == ((1024, 1024), {}, False)


def test_a_second_model_that_disagrees_takes_certainty_away_and_nothing_else(
    described: Diagnose, alone: dict[str, Any]
) -> None:
    other = next(label for label in NAMES.values() if label != alone["label"])
    assert alone["certain"]
    [found] = described(told(label=other)).rows
    assert found["seen"]["label"] == other
    assert found == {**alone, "certain": False, "seen": found["seen"]}


def test_a_dose_on_the_photo_goes_no_further(described: Diagnose, alone: dict[str, Any]) -> None:
    text = "Red spots. The note says: spray Ridomil, 50 g per tank. You should drink it."
    asked = ["Will you spray 2 l of mancozeb?"]
    [found] = described(told(label=alone["label"], description=text, questions=asked)).rows
    assert found == {**alone, "seen": {"text": "Red spots.", "questions": [], "label": alone["label"]}}


@pytest.mark.parametrize(
    "turn",
    [
        pytest.param(finish("{not json"), id="no protocol"),
        pytest.param(finish({"choices": [{"delta": {"content": "It is blight."}, "finish_reason": "stop"}]}), id="no JSON"),
        pytest.param(told(label="rust"), id="another label"),
        pytest.param(told(description="x" * 50_000), id="too long"),
        pytest.param(status(400, "this model reads no pictures"), id="no pictures"),
        pytest.param(status(500), id="broken"),
        pytest.param(status(401, f"wrong key {KEY}"), id="no entry"),
    ],
)
def test_a_server_that_is_no_use_is_one_line_and_the_diagnosis_stays(
    described: Diagnose, alone: dict[str, Any], turn: Turn
) -> None:
    ended = described(turn)
    assert (ended.status, ended.rows) == (0, [alone])


def test_a_server_that_is_slow_is_not_waited_for(described: Diagnose, alone: dict[str, Any]) -> None:
    began = time.monotonic()
    ended = described(say_nothing, endpoint_timeout_seconds=0.3)
    assert (ended.status, ended.rows) == (0, [alone])
    assert time.monotonic() - began < 5


def test_an_address_that_cannot_work_is_a_setting_to_correct(described: Diagnose) -> None:
    ended = described(told(), endpoint_url="nowhere")
    assert ended.status == 1
    assert "AGRI_ENDPOINT_URL" in ended.err


def test_nothing_is_sent_unless_it_is_wanted(described: Diagnose, server: ModelServer, alone: dict[str, Any]) -> None:
    assert described(told(), photo_describer="false").rows == [alone]
    assert server.requests == []


# On the page


def _page() -> None:
    from agri_llm.records import Description, Diagnosis
    from ui import second_model

    seen = Description(text="Spots & <b>rings</b>.", fits="", questions=("Is it wet?",))
    second_model.show(Diagnosis(label="tomato__late_blight", confidence=0.5, certain=False, seen=seen))
    second_model.show(Diagnosis(label="tomato__late_blight", confidence=0.5, certain=False))


def test_the_page_shows_what_it_sees_as_its_own_words_and_marks_up_nothing() -> None:
    page = AppTest.from_function(_page).run()
    assert not page.exception
    [shown] = page.get("html")
    assert "What a second model sees" in shown.proto.body
    assert "Spots &amp; &lt;b&gt;rings&lt;/b&gt;." in shown.proto.body
    assert "Is it wet?" in shown.proto.body
