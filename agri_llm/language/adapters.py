"""Adapters on one base in memory: loaded beside each other, one of them writing at a time, given up when nobody needs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel, PeftModelForCausalLM, get_peft_model_state_dict
from safetensors import safe_open

from agri_llm.errors import AgriError, ModelMissing
from agri_llm.language import loading

ADAPTER_WEIGHTS = "adapter_model.safetensors"


class Weights:
    """A base model and the adapters on it. Nothing here waits: whoever uses it does one thing at a time."""

    def __init__(self, model: Any, name: str) -> None:
        """Take the base and what it is called in sentences."""
        self.model, self._name, self._numbers = model, name, count(1)

    def add(self, adapter: str) -> str:
        """Load an adapter beside the others and return its key. Raises ModelMissing."""
        check_files(adapter)
        key = f"adapter{next(self._numbers)}"
        try:
            with loading.loading(f"the adapter {adapter!r} on the model {self._name!r}"):
                self._load(adapter, key)
                with safe_open(Path(adapter) / ADAPTER_WEIGHTS, framework="pt") as file:
                    saved = set(file.keys())
            placed = set(get_peft_model_state_dict(self.model, adapter_name=key, save_embedding_layers=False))
            strange = sorted(name for name in saved ^ placed if "embed_tokens" not in name and "lm_head" not in name)
            if strange:
                raise ModelMissing(
                    f"the adapter {adapter!r} does not fit the model {self._name!r}:"
                    f" {len(strange)} weights, such as {strange[0]!r}",
                    "it was trained on another model",
                    "choose the model named in its adapter_config.json, or another adapter",
                )
        except AgriError:
            self.remove(key)  # what was put into the base before it failed would write with it
            raise
        return key

    def _load(self, adapter: str, key: str) -> None:
        if not isinstance(self.model, PeftModel):
            config = PeftConfig.from_pretrained(adapter)
            config.inference_mode = True
            kind = PeftModelForCausalLM if config.task_type == "CAUSAL_LM" else PeftModel
            self.model = kind(self.model, config, adapter_name=key)
        self.model.load_adapter(adapter, adapter_name=key)
        self.model.eval()

    def remove(self, key: str) -> None:
        """Give up an adapter; with the last one the base is again as it came."""
        if not isinstance(self.model, PeftModel) or key not in self.model.peft_config:
            return
        if len(self.model.peft_config) > 1:
            self.model.delete_adapter(key)
        else:
            prompting = self.model.peft_config[key].is_prompt_learning  # has no layers of its own
            self.model = self.model.get_base_model() if prompting else self.model.unload()

    @contextmanager
    def using(self, key: str) -> Iterator[None]:
        """Let one adapter write, or with "" the base alone."""
        if not isinstance(self.model, PeftModel):
            yield
        elif key:
            self.model.set_adapter(key)
            yield
        else:
            with self.model.disable_adapter():
                yield


def check_files(adapter: str) -> None:
    """Raise ModelMissing where a folder is no adapter, or holds it in a form that can run code."""
    folder = Path(adapter)
    if not (folder / "adapter_config.json").is_file():
        raise ModelMissing(
            f"there is no adapter at {adapter!r}", "adapter_config.json is not there", "check AGRI_ADAPTER, or leave it empty"
        )
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise ModelMissing(
            f"the adapter {adapter!r} has no {ADAPTER_WEIGHTS}",
            "other formats can run code while they are read, so we do not read them",
            "save the adapter again as safetensors",
        )
