"""The forms in which a run is exported: how each is written, what loads it, and whether it still keeps the contract."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from agri_llm.errors import BadInput, ModelMissing
from agri_llm.language import contract
from agri_llm.language.local import nf4_config
from training import contract as contracts
from training import finished, gguf_file, pruning
from training.finished import Finished
from training.rows import file_hash

LOADED_BY = {
    "adapter": "PEFT on its base (`AGRI_MODEL` and `AGRI_ADAPTER`), vLLM with --enable-lora for LoRA and rsLoRA",
    "merged": "transformers (`AGRI_MODEL`), vLLM, llama.cpp's conversion script",
    "int8": "transformers with bitsandbytes 0.50 or newer, on CUDA and on processors; not vLLM 0.33, not llama.cpp",
    "nf4": "transformers with bitsandbytes 0.50 or newer, on CUDA and on processors; not vLLM 0.33, not llama.cpp",
    "gguf": "llama.cpp and what is built on it (Ollama, LM Studio), transformers with gguf_file=",
    "pruned": "transformers, to be healed with `agri train sft training/configs/heal.yaml --model` this folder",
}
KINDS = tuple(LOADED_BY)
INSTEAD = {
    "adapter": "look whether the base is the one of the run",
    "merged": "look whether the run itself is sound",
    "int8": "export with --to merged",
    "nf4": "export with --to adapter and let the base be stored in NF4, or with --to int8",
    "gguf": "export with --type f16",
    "pruned": "drop fewer layers",
}
"""What to do instead of an export that got worse."""
# Bytes of one weight in a layer of a decoder: bfloat16; one and its scale; half and the scales of 64 (QLoRA); 34 / 32 (ggml).
BYTES = {"merged": 2.0, "pruned": 2.0, "int8": 1.05, "nf4": 0.6, "gguf": 2.0}


def write(kind: str, run: Finished, out: Path, *, gguf_type: str, dropped: tuple[int, ...]) -> None:
    """Write an export into an empty folder, its contract with it."""
    tokenizer, _ = finished.tokenizer(run.tokenizer_from)
    if kind == "adapter":
        _copy_adapter(run, out)
        return
    model = finished.merged(run)
    if kind == "gguf":
        gguf_file.write(run.folder, model, tokenizer, out / f"{run.folder.name}-{gguf_type}.gguf", gguf_type)
    else:
        _save(pruning.without(model, dropped) if dropped else model, tokenizer, out)
        del model
        if kind in ("int8", "nf4"):
            _store_in_bits(kind, tokenizer, out)
    contracts.write(out, _contract(run, out))


def _copy_adapter(run: Finished, out: Path) -> None:
    if run.whole:
        raise BadInput(f"the run in {run.folder} trained all weights", "it has no adapter", "use --to merged")
    for name in ("adapter_model.safetensors", "adapter_config.json", contract.FILE):
        shutil.copyfile(run.learned / name, out / name)
    for file in run.learned.glob("*"):  # tokenizer and template, as they were trained with
        if file.suffix in (".json", ".jinja", ".txt", ".model") and not (out / file.name).exists():
            shutil.copyfile(file, out / file.name)


def _save(model: Any, tokenizer: Any, out: Path) -> None:
    """Save a plain model in bfloat16: single precision was for adding, and the base had no more."""
    for name in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(model.config, name):
            delattr(model.config, name)
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)


def _store_in_bits(kind: str, tokenizer: Any, out: Path) -> None:
    """Store the merged model of a folder in 8 or 4 bits in its place."""
    from transformers import BitsAndBytesConfig

    how = nf4_config() if kind == "nf4" else BitsAndBytesConfig(load_in_8bit=True)
    whole = out.with_name(out.name + "-whole")
    shutil.rmtree(whole, ignore_errors=True)
    out.rename(whole)
    try:
        finished.load(str(whole), dtype=torch.bfloat16, quantization_config=how).save_pretrained(out)
        tokenizer.save_pretrained(out)
    finally:
        shutil.rmtree(whole, ignore_errors=True)


def _contract(run: Finished, out: Path) -> dict[str, Any]:
    """Return the contract of a model that is its own base, with that of the run it comes from."""
    weights = contract.weights_hash(str(out)) or file_hash(next(out.glob("*.gguf")))
    base = {"name": run.folder.name, "weights": weights, "four_bit": False}
    return {**run.contract, "base": base, "method": "full", "exported_from": run.contract.get("base")}


def check_contract(kind: str, run: Finished, out: Path) -> list[str]:
    """Check what was written against its contract, as answering would; returns a line for each finding. Raises ModelMissing."""
    base = run.base if kind == "adapter" else str(out)
    tokenizer, stops = _tokenizer(kind, run, out)
    try:
        contract.check(out, base, tokenizer, stops)
    except ModelMissing as error:
        raise ModelMissing(error.what, error.why, "export again from a whole run") from error
    said = contract.read(out) or {}
    if contract.vocabulary_hash(tokenizer) != said.get("vocabulary"):
        raise ModelMissing(f"{out.name} has another vocabulary than the run", "its tokens mean other words", "export again")
    return [f"rendered conversations {str(said.get('rendered'))[:12]}, end tokens {stops}, vocabulary and weights as written"]


def _tokenizer(kind: str, run: Finished, out: Path) -> tuple[Any, list[int]]:
    if kind == "adapter":
        return finished.tokenizer(run.tokenizer_from)
    if kind != "gguf":
        return finished.tokenizer(str(out))
    plain, stops = finished.tokenizer(run.tokenizer_from)
    back = gguf_file.check_tokenizer(next(out.glob("*.gguf")), plain)
    return back, stops


def load(kind: str, run: Finished, out: Path) -> Any:
    """Load an export as its users will: an adapter on the base as it was trained, a GGUF file through transformers."""
    if kind == "adapter":
        return finished.as_trained(run, out)
    if kind == "gguf":
        return _load_gguf(next(out.glob("*.gguf")))
    return finished.load(str(out), **({} if kind in ("int8", "nf4") else _plain()))


def load_plain(run: Finished, adapter: Path) -> Any:
    """Load an adapter on its base in 16 bits, as vLLM does and answering on a processor."""
    return finished.on_top(run, finished.load(run.base, **_plain()), adapter)


def _plain() -> dict[str, Any]:
    return {"dtype": torch.bfloat16 if torch.cuda.is_available() else torch.float32}


def _load_gguf(file: Path) -> Any:
    from transformers import AutoModelForCausalLM

    with finished.loading(str(file)):
        return AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()


def same_greedy(model: Any, run: Finished) -> tuple[int, int]:
    """Return how many of the contract's fixed questions the export answers in the same words, and how many there are."""
    said = list(run.contract.get("greedy") or [])
    if not said:
        return 0, 0
    tokenizer, _ = finished.tokenizer(run.tokenizer_from)
    written = contracts.greedy(model, tokenizer)
    return sum(each in written for each in said), len(said)


def bytes_needed(kind: str, run: Finished) -> int:
    """Return about how much disk the writing of an export takes at its peak."""
    if kind == "adapter":
        return sum(file.stat().st_size for file in run.learned.glob("*") if file.is_file())
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM

    with finished.loading(run.weights_from), init_empty_weights():
        config = AutoConfig.from_pretrained(run.weights_from)
        weights = AutoModelForCausalLM.from_config(config).num_parameters()
    return int(weights * (BYTES[kind] + (BYTES["merged"] if kind in ("int8", "nf4") else 0)))
