"""From what people said to a model that serves, or the reasons why not, in steps that are done once: `agri retrain`.

  1-data       preference data of everybody who agreed (`preferences.py`)
  2-preflight  everything that must hold before the training
  3-train      the candidate, going on from what is in use (`align.py`, `online.py`)
  4-answers    what both write to held-out questions
  5-gate       what both reply to the guard suites, and the verdict (`gate.py`); who calls promotes

A retraining that was stopped goes on at the step, and inside it where it was. One runs at a time (`one_run.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import yaml

from agri_llm.errors import AgriError, BadInput
from agri_llm.judgements import Material
from agri_llm.records import Message
from training import finished, gate, gate_steps, marked_steps, one_run, preferences, retrain_config, retrain_training
from training.configuration import Training
from training.evaluate import Outcome
from training.gate import Verdict
from training.gate_steps import Held
from training.progress import Tell
from training.retrain_config import ANSWERS, CHOICE, DATA, GATE, LOG, PREFLIGHT, TRAIN, Retraining
from training.rows import file_hash, identity, write_whole


class Parts(Protocol):
    """What a retraining needs of the program around it; `ui.wiring` puts it together."""

    def material(self) -> Material:
        """Return what people said whose words may be used."""

    def writing(self, adapter: Path | None, tokens: int) -> Callable[[Sequence[Message]], str]:
        """Return what writes an answer to a request with an adapter, or with the base alone."""

    def replies(self, adapter: Path | None, suites: Sequence[str], tell: Tell) -> Sequence[Outcome]:
        """Return what the assistant replies to suites with an adapter."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One retraining: its folder `out`, the base `model`, the run in use (None: the base alone), and its settings."""

    out: Path
    model: str
    current: Path | None
    method: retrain_config.Method
    settings: Retraining
    file: Path
    salt: str = ""

    @property
    def candidate(self) -> Path:
        """The folder of the training; it has the name of the retraining, by which its adapter is known."""
        return self.out / TRAIN / self.out.name


def run(wanted: Wanted, parts: Parts, tell: Tell, *, dry: bool = False) -> Mapping[str, Any] | None:
    """Do every step that is not done and return the verdict; `dry` ends before the training, and returns None.

    Raises BadInput where another one runs, nothing can be learned, or the folder was begun otherwise; TrainingStopped.
    """
    with one_run.alone(wanted.out.parent, wanted.out, tell):
        _begin(wanted)
        log = wanted.out / LOG
        try:
            return _steps(wanted, parts, _logged(log, tell), dry=dry)
        except AgriError as error:  # whoever called says it to people
            _logged(log, lambda line: None)(str(error))
            raise


def _begin(wanted: Wanted) -> None:
    """Write down what is wanted; a folder that was begun must have been begun with the same. Raises BadInput."""
    said = {
        "method": wanted.method,
        "model": wanted.model,
        "current": str(wanted.current) if wanted.current else None,
        "settings": json.loads(json.dumps(vars(wanted.settings))),
    }
    file = wanted.out / CHOICE
    if file.is_file():
        before = yaml.safe_load(file.read_text(encoding="utf-8"))
        changed = [name for name, value in said.items() if before.get(name) != value]
        if changed:
            raise BadInput(
                f"the retraining in {wanted.out} was begun with another {changed[0]} ({before.get(changed[0])})",
                "its steps would not fit together",
                "name another --out, or promote and settings as they were",
            )
        return
    wanted.out.mkdir(parents=True, exist_ok=True)
    write_whole(file, yaml.safe_dump(said, allow_unicode=True))


def _logged(file: Path, tell: Tell) -> Tell:
    def told(line: str) -> None:
        with file.open("a", encoding="utf-8") as log:
            log.write(line + "\n")
        tell(line)

    return told


def _steps(wanted: Wanted, parts: Parts, tell: Tell, *, dry: bool) -> Mapping[str, Any] | None:
    maker = identity(wanted.method, wanted.model, str(wanted.current))

    def do(name: str, work: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        return marked_steps.do(name, work, wanted.out / name, maker, tell)[0]

    do(DATA, partial(_data, wanted, parts, tell))
    do(PREFLIGHT, partial(_preflight, wanted, tell))
    if dry:
        return None
    do(TRAIN, partial(_train, wanted, tell))
    held = gate_steps.questions(preferences.read(wanted.out / DATA / "data"), wanted.settings.prompts)
    for name, adapter in _sides(wanted):
        do(f"{ANSWERS}-{name}", partial(_answers, wanted, parts, adapter, held, tell))
    do(GATE, partial(_gate, wanted, parts, held, tell))
    verdict = verdict_of(wanted.candidate)
    for line in [*verdict["notes"], *(verdict["reasons"] or ["Nothing speaks against it."])]:
        tell(line)
    return verdict


def _sides(wanted: Wanted) -> Iterator[tuple[str, Path | None]]:
    yield "current", wanted.current / "adapter" if wanted.current else None
    yield "candidate", wanted.candidate / "adapter"


def _data(wanted: Wanted, parts: Parts, tell: Tell, out: Path) -> dict[str, Any]:
    folder = out / "data"
    rules = wanted.settings.rules(wanted.salt)
    made = preferences.read(folder) if folder.is_dir() else preferences.build(parts.material(), folder, rules, tell)
    return {"hash": made.hash, "rows": made.manifest["rows"], "returned": len(made.returned)}


def training_of(wanted: Wanted) -> Training:
    """Return the settings of the training that a retraining does. Raises BadInput."""
    if wanted.current is None and wanted.method in retrain_training.ONLINE:
        raise BadInput(
            f"the base alone is in use, and {wanted.method} learns from a model's own answers",
            "what the base writes earns nothing that it could learn from",
            "tune the base first (`agri train sft`) and set AGRI_ADAPTER to the adapter, or promote a model",
        )
    over = {
        **wanted.settings.training,
        "model": wanted.model,
        "start": str(wanted.current) if wanted.current else "",
        "data": str(wanted.out / DATA / "data"),
        "out": str(wanted.candidate),
    }
    flags = [part for name, value in over.items() for part in (f"--{name}", *_values(value))]
    return retrain_training.read(retrain_config.training_file(wanted.settings, wanted.file), wanted.method, flags)


def _values(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def _preflight(wanted: Wanted, tell: Tell, out: Path) -> dict[str, Any]:
    lines = retrain_training.check(training_of(wanted))
    for line in lines:
        tell(line)
    return {"checks": len(lines)}


def _train(wanted: Wanted, tell: Tell, out: Path) -> dict[str, Any]:
    training = training_of(wanted)
    if not (training.out / "run.json").is_file():
        retrain_training.train(training, tell)
    said = json.loads((training.out / "run.json").read_text(encoding="utf-8"))
    return {
        "steps": said["steps"],
        "first_loss": said["first_loss"],
        "last_loss": said["last_loss"],
        "held_out": said["held_out"],
    }


def _answers(wanted: Wanted, parts: Parts, adapter: Path | None, held: Held, tell: Tell, out: Path) -> dict[str, Any]:
    write = parts.writing(adapter, wanted.settings.answer_tokens)
    return {"answers": gate_steps.answer(held, write, out / gate_steps.ANSWERS, tell)}


def _gate(wanted: Wanted, parts: Parts, held: Held, tell: Tell, out: Path) -> dict[str, Any]:
    outcomes = {name: parts.replies(adapter, wanted.settings.suites, tell) for name, adapter in _sides(wanted)}
    verdict = _verdict(wanted, held, outcomes)
    gate.write(verdict, wanted.candidate)
    return {"promote": verdict.promote, "reasons": list(verdict.reasons), "sha256": adapter_hash(wanted.candidate)}


def _verdict(wanted: Wanted, held: Held, outcomes: Mapping[str, Sequence[Outcome]]) -> Verdict:
    written = {
        name: gate_steps.read_answers(wanted.out / f"{ANSWERS}-{name}" / gate_steps.ANSWERS) for name, _ in _sides(wanted)
    }
    candidate = finished.read(wanted.candidate, wanted.model)
    return gate.decide(
        gate_steps.evidence(
            held,
            candidate=written["candidate"],
            current=written["current"],
            outcomes=(outcomes["candidate"], outcomes["current"]),
            contract=gate_steps.contract_problems(candidate),
            data=gate_steps.data_problems(candidate),
        )
    )


def adapter_hash(run_folder: Path) -> str:
    """Return the sha256 of the weights of a run's adapter."""
    return file_hash(run_folder / "adapter" / "adapter_model.safetensors")


def verdict_of(folder: Path) -> dict[str, Any]:
    """Return what the gate said of a run. Raises BadInput where it was never asked."""
    try:
        said: dict[str, Any] = json.loads((folder / gate.VERDICT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{folder} holds no verdict of the gate", "nothing shows that it is better and no less safe", "use `agri retrain`"
        ) from error
    return said
