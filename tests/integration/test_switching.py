"""Adapters that come and go on one base in memory, on real four-bit weights, while answers are being written."""

from __future__ import annotations

import gc
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_chat
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from agri_llm.canary import gets_candidate
from agri_llm.errors import ModelMissing, StoreUnavailable
from agri_llm.judgements import Promotion
from agri_llm.language.brief import Brief
from agri_llm.language.local import LocalModel
from agri_llm.language.switching import SwitchingModel
from agri_llm.records import Question

BRIEF = Brief(
    question=Question(text="?"), intent="explain", hits=(), messages=({"role": "user", "content": "What helps against rust?"},)
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_chat.save_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two adapters of random weights, each of which writes other words."""
    folders = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
        adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        folder = tmp_path_factory.mktemp("run") / f"run{seed}" / "adapter"
        adapted.save_pretrained(folder)
        folders.append(folder)
    return folders[0], folders[1]


@pytest.fixture(scope="module")
def alone(base: Path, adapters: tuple[Path, Path]) -> dict[str | None, str]:
    """What each writes when nothing else is loaded."""
    return {str(place) if place else None: written(load(base, place)) for place in (None, *adapters)}


def load(base: Path, adapter: Path | None = None) -> LocalModel:
    return LocalModel(str(base), str(adapter) if adapter else None, max_new_tokens=24, temperature=0.0)


def written(model: LocalModel | SwitchingModel) -> str:
    return "".join(model.stream(BRIEF))


class Decisions:
    """What was decided last, as the store would say it."""

    def __init__(self) -> None:
        self.last: Promotion | None = None
        self.down = False

    def promote(self, adapter: Path | None, sha256: str = "") -> None:
        self.last = Promotion(kind="promoted", adapter=str(adapter) if adapter else None, by="test", sha256=sha256)

    def __call__(self) -> Promotion | None:
        if self.down:
            raise StoreUnavailable("The database is down", "nothing is known", "wait")
        return self.last


@pytest.fixture
def decisions() -> Decisions:
    return Decisions()


@pytest.fixture
def switching(base: Path, decisions: Decisions) -> SwitchingModel:
    return SwitchingModel(load(base), decisions, look_seconds=0.0)


def test_siblings_write_what_each_writes_alone(base: Path, adapters: tuple[Path, Path], alone: dict[str | None, str]) -> None:
    assert len(set(alone.values())) == 3
    plain = load(base)
    one, other = (plain.with_adapter(str(adapter)) for adapter in adapters)
    for model, adapter in ((one, adapters[0]), (other, adapters[1]), (plain, None), (one, adapters[0])):
        assert written(model) == alone[str(adapter) if adapter else None]
    assert [each.adapter for each in (plain, one, other)] == [None, "run1", "run2"]


def test_a_promotion_is_followed_by_the_next_answer_and_going_back_too(
    switching: SwitchingModel, decisions: Decisions, adapters: tuple[Path, Path], alone: dict[str | None, str]
) -> None:
    assert written(switching) == alone[None]
    for adapter in (adapters[0], adapters[1], adapters[0], None):
        decisions.promote(adapter)
        assert written(switching) == alone[str(adapter) if adapter else None]
        assert switching.problem == ""
    assert switching.adapter is None


def test_an_answer_that_has_begun_is_finished_by_who_began_it(
    switching: SwitchingModel, decisions: Decisions, adapters: tuple[Path, Path], alone: dict[str | None, str]
) -> None:
    decisions.promote(adapters[0])
    writer = switching.pinned()
    pieces = writer.stream(BRIEF)
    text = next(pieces)
    decisions.promote(adapters[1])
    followed: list[str] = []
    other = threading.Thread(target=lambda: followed.append(written(switching)))
    other.start()
    text += "".join(pieces)
    other.join(timeout=60)
    assert text == alone[str(adapters[0])]
    assert writer.adapter == "run1"
    assert followed == [alone[str(adapters[1])]]


def test_many_at_once_each_get_one_whole_answer(
    switching: SwitchingModel, decisions: Decisions, adapters: tuple[Path, Path], alone: dict[str | None, str]
) -> None:
    answers: list[str] = []

    def ask() -> None:
        for _ in range(4):
            answers.append(written(switching))  # noqa: PERF401 - one after the other is the point

    people = [threading.Thread(target=ask) for _ in range(4)]
    for person in people:
        person.start()
    for adapter in (adapters[0], adapters[1], None, adapters[0]):
        decisions.promote(adapter)
        time.sleep(0.05)
    for person in people:
        person.join(timeout=120)
    assert len(answers) == 16
    assert set(answers) <= set(alone.values())


def damaged(adapter: Path, folder: Path) -> Path:
    shutil.copytree(adapter, folder)
    file = folder / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    return folder


@pytest.mark.parametrize(
    ("changed", "sha256", "said"),
    [
        (lambda adapter, folder: folder / "gone", "", "adapter_config.json is not there"),
        (damaged, "", "cannot be loaded"),
        (lambda adapter, folder: adapter, "0" * 64, "are not those that were promoted"),
    ],
    ids=["gone", "damaged", "another"],
)
def test_a_promotion_that_cannot_be_followed_leaves_the_model_before_it_and_says_why(
    switching: SwitchingModel,
    decisions: Decisions,
    adapters: tuple[Path, Path],
    alone: dict[str | None, str],
    tmp_path: Path,
    changed: Callable[[Path, Path], Path],
    sha256: str,
    said: str,
) -> None:
    decisions.promote(adapters[0])
    assert written(switching) == alone[str(adapters[0])]
    decisions.promote(changed(adapters[1], tmp_path / "adapter"), sha256)
    assert written(switching) == alone[str(adapters[0])]
    assert said in switching.problem
    assert switching.describe()["problem"] == switching.problem
    decisions.promote(adapters[1])
    assert written(switching) == alone[str(adapters[1])]
    assert switching.problem == ""


def test_a_database_that_is_down_changes_nothing(
    switching: SwitchingModel, decisions: Decisions, adapters: tuple[Path, Path], alone: dict[str | None, str]
) -> None:
    decisions.promote(adapters[0])
    assert written(switching) == alone[str(adapters[0])]
    decisions.down = True
    assert written(switching) == alone[str(adapters[0])]


def test_adapters_that_nobody_uses_any_more_are_given_up(
    switching: SwitchingModel, decisions: Decisions, adapters: tuple[Path, Path]
) -> None:
    for number in range(8):
        decisions.promote(adapters[number % 2])
        written(switching)
    gc.collect()
    written(switching)  # what is given up waits for its turn like an answer
    assert len(switching._base._weights.model.peft_config) <= 2


def test_an_adapter_of_another_model_is_refused_and_the_rest_goes_on(
    base: Path, alone: dict[str | None, str], tmp_path: Path
) -> None:
    torch.manual_seed(3)
    other = tiny_chat.save_model(tmp_path / "other", kind="llama")
    config = LoraConfig(r=4, target_modules=["q_proj"], layers_to_transform=[0], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(other), config).save_pretrained(tmp_path / "adapter")
    plain = load(base)
    shutil.rmtree(tmp_path / "other")
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(file.read_text().replace('"r": 4', '"r": 8'))
    with pytest.raises(ModelMissing):
        plain.with_adapter(str(tmp_path / "adapter"))
    assert written(plain) == alone[None]


@pytest.fixture
def trial() -> Decisions:
    return Decisions()


@pytest.fixture
def trying(base: Path, decisions: Decisions, trial: Decisions) -> SwitchingModel:
    return SwitchingModel(load(base), decisions, look_seconds=0.0, canary=trial)


def begun(adapter: Path) -> Promotion:
    return Promotion(kind="canary", adapter=str(adapter), by="test", share=0.3)


def in_conversation(model: SwitchingModel, conversation: str) -> str:
    question = replace(BRIEF.question, conversation=conversation)
    return "".join(model.stream(replace(BRIEF, question=question)))


def test_a_share_of_the_conversations_gets_the_candidate_until_the_canary_ends(
    trying: SwitchingModel, decisions: Decisions, trial: Decisions, adapters: tuple[Path, Path], alone: dict[str | None, str]
) -> None:
    decisions.promote(adapters[0])
    trial.last = begun(adapters[1])
    names = [f"talk {number}" for number in range(40)]
    drawn = {name for name in names if gets_candidate(trial.last, name)}
    assert 4 <= len(drawn) <= 24
    assert {name for name in names if trying.pinned(name).adapter == "run2"} == drawn
    assert trying.pinned().adapter == "run1", "who asks outside a conversation gets the model in use"
    assert trying.describe()["canary"] == "run2 for 30% of the conversations"
    one, other = min(drawn), min(set(names) - drawn)
    for _ in range(2):
        assert in_conversation(trying, one) == alone[str(adapters[1])]
        assert in_conversation(trying, other) == alone[str(adapters[0])]
    trial.last = None
    assert in_conversation(trying, one) == alone[str(adapters[0])]
    assert "canary" not in trying.describe()


def test_an_answer_of_the_candidate_is_finished_by_it_when_the_canary_is_stopped(
    trying: SwitchingModel, trial: Decisions, adapters: tuple[Path, Path], alone: dict[str | None, str]
) -> None:
    trial.last = begun(adapters[1])
    one = next(name for name in map(str, range(100)) if gets_candidate(trial.last, name))
    writer = trying.pinned(one)
    pieces = writer.stream(BRIEF)
    text = next(pieces)
    trial.last = None
    assert trying.pinned(one).adapter is None
    assert text + "".join(pieces) == alone[str(adapters[1])]
    assert writer.adapter == "run2"


def test_a_candidate_that_cannot_be_loaded_changes_nothing_and_is_told(
    trying: SwitchingModel,
    decisions: Decisions,
    trial: Decisions,
    adapters: tuple[Path, Path],
    alone: dict[str | None, str],
    tmp_path: Path,
) -> None:
    decisions.promote(adapters[0])
    trial.last = begun(damaged(adapters[1], tmp_path / "adapter"))
    one = next(name for name in map(str, range(100)) if gets_candidate(trial.last, name))
    assert in_conversation(trying, one) == alone[str(adapters[0])]
    assert trying.problem.startswith("The canary of ")
    decisions.promote(adapters[1])  # a promotion that is followed does not hide what is wrong with the canary
    assert in_conversation(trying, one) == alone[str(adapters[1])]
    assert "cannot be loaded" in trying.problem
    trial.last = None
    trying.pinned()
    assert trying.problem == ""
