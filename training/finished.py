"""A finished run of a language model: what it learned, on which base, and that base loaded again as it was trained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils.logging import disable_progress_bar

from agri_llm.errors import BadInput, ModelMissing
from agri_llm.language import chat_template, contract
from agri_llm.language.local import nf4_config
from training import run_files
from training.methods import METHODS


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A run: `learned` is the folder of its adapter, or of its whole model where no base is needed."""

    folder: Path
    learned: Path
    base: str
    kind: str
    method: str
    four_bit: bool
    dtype: str
    data: Path | None
    contract: dict[str, Any]

    @property
    def whole(self) -> bool:
        """Whether all weights were trained, so that there is no adapter."""
        return self.method == "full"

    @property
    def weights_from(self) -> str:
        """Where the weights lie that an export begins with."""
        return str(self.learned) if self.whole else self.base

    @property
    def tokenizer_from(self) -> str:
        """Where the tokenizer lies that answering would load."""
        return self.weights_from


def read(folder: Path, base: str | None = None) -> Finished:
    """Read what a run folder says; `base` stands in for the place of a base that was moved. Raises BadInput, ModelMissing."""
    said_of = about(folder)
    settings = said_of.get("settings")
    if said_of.get("kind") not in ("sft", "pretrain", "distil", "dpo", "kto", "grpo", "rloo") or not isinstance(settings, dict):
        raise BadInput(f"{folder} is a run of another kind", "it trained no language model", "name a run of `agri train sft`")
    method = str(settings.get("method"))
    learned = folder / ("model" if method == "full" else "adapter")
    said = contract.read(learned)
    if said is None:
        raise BadInput(
            f"{learned} has no {contract.FILE}", "nothing says what it was trained on", "copy the whole run, or train again"
        )
    if method not in METHODS:
        raise BadInput(f"the run in {folder} used the method {method!r}", "it is not known here", "train again")
    run = Finished(
        folder=folder,
        learned=learned,
        base=base or str(settings.get("model")),
        kind=str(said_of["kind"]),
        method=method,
        four_bit=bool(said.get("base", {}).get("four_bit")),
        dtype=str(said.get("dtype") or "float32"),
        data=Path(settings["data"]) if settings.get("data") else None,
        contract=said,
    )
    _check_base(run)
    return run


def about(folder: Path) -> dict[str, Any]:
    """Return what a finished run says of itself. Raises BadInput where there is none."""
    file = folder / run_files.RUN
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        if (folder / run_files.CONFIG).is_file():
            raise BadInput(
                f"the run in {folder} is not finished", "what it learns is not written yet", "give its training command again"
            ) from error
        raise BadInput(f"{folder} is no run", f"it has no {run_files.RUN}", "name the `out` folder of a training") from error
    except (OSError, ValueError) as error:
        raise BadInput(f"{file} cannot be read", str(error).splitlines()[0], "copy the run again") from error
    if not isinstance(said, dict):
        raise BadInput(f"{file} holds no run", "it must be an object", "copy the run again")
    return said


def _check_base(run: Finished) -> None:
    """Raise ModelMissing where the base is gone, or is not the one whose weights the adapter corrects."""
    if run.whole:
        return
    found, expected = contract.weights_hash(run.base), run.contract.get("base", {}).get("weights")
    if found is None:
        raise ModelMissing(
            f"the base model of the run, {run.base!r}, is not there",
            "an adapter alone is no model",
            "give its place with --base",
        )
    if expected not in (None, found):
        raise ModelMissing(
            f"the adapter of {run.folder} was trained on {run.contract['base'].get('name')!r},"
            f" whose weights are not those of {run.base!r}",
            "on another base its corrections are noise",
            "give the base it was trained on with --base",
        )


def tokenizer(place: str) -> tuple[Any, list[int]]:
    """Return the tokenizer of a model folder as answering loads it, and the tokens that end an answer."""
    with loading(place):
        found = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
        try:
            generation = GenerationConfig.from_pretrained(place)
        except OSError:  # then the tokenizer's own end token counts
            generation = None
    return found, chat_template.stop_ids(found, generation)


def as_trained(run: Finished, adapter: Path | None = None) -> Any:
    """Load the model in the very numbers of its training: the base in NF4 where it was, the adapter, or a copy, on top."""
    stored = {"quantization_config": nf4_config()} if run.four_bit and not run.whole else {}
    return on_top(run, load(run.weights_from, dtype=getattr(torch, run.dtype), **stored), adapter)


def on_top(run: Finished, model: Any, adapter: Path | None = None) -> Any:
    """Return the model with what the run learned; as it is where the run has no adapter."""
    if run.whole:
        return model.eval()
    from peft import PeftModel

    with loading(str(run.learned)):
        return PeftModel.from_pretrained(model, str(adapter or run.learned)).eval()


def merged(run: Finished) -> Any:
    """Return one plain model in single precision: the adapter merged into the base that it was trained on.

    An adapter learned on an NF4 base corrects that base's rounding too, so the rounded weights are what it is added to.
    """
    if METHODS[run.method].virtual:
        raise BadInput(
            f"the run used {run.method} tuning", "its virtual tokens are no weights that could be merged", "use --to adapter"
        )
    stored = {"quantization_config": nf4_config()} if run.four_bit and not run.whole else {}
    model = load(run.weights_from, dtype=getattr(torch, run.dtype), **stored)
    if stored:
        model = model.dequantize()
    adapted = on_top(run, model.to("cpu").float())
    return adapted if run.whole else adapted.merge_and_unload()


def load(place: str, **options: Any) -> Any:
    """Load a causal language model from safetensors, on the GPU where there is one, ready to be asked."""
    if torch.cuda.is_available():
        options.setdefault("device_map", {"": 0})
    with loading(place):
        return AutoModelForCausalLM.from_pretrained(place, use_safetensors=True, trust_remote_code=False, **options).eval()


@contextmanager
def loading(place: str) -> Iterator[None]:
    """Turn the libraries' errors while loading into a sentence; what lies on this machine is loaded without their bars."""
    if Path(place).is_dir():
        disable_progress_bar()
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError, SafetensorError) as error:
        said = (" ".join(str(error).split()) or type(error).__name__)[:200].rstrip(".")
        raise ModelMissing(f"{place!r} cannot be loaded", said, "check that its files are complete") from error
