"""QLoRA on one GPU: real tokens a second, peak memory, utilisation, ours against a plain script, and what each choice brings.

    python benchmarks/train_gpu.py run --tokenizer FOLDER --rows FILE [--minutes 9] [--only NAME]   again for what is missing
    python benchmarks/train_gpu.py list                                       what there is to measure, and what has been
    python benchmarks/train_gpu.py publish                                    write docs/benchmarks.md

The models have the architecture of Qwen2.5-7B and Llama-3.1-8B and random weights, made in 4 bits on the GPU: speed and memory
do not depend on the values. Every row is a process of its own and is kept in a JSON file as soon as it is measured, so that
several runs of ten minutes make one table. Without a GPU this says so and the table keeps "not measured".
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from random_decoders import SIZES, config_of, random_model
from train_gpu_table import PLAIN, section

from training import architecture, memory
from training.memory import GIB, Shape

RESULTS = Path("build/benchmark/train-gpu.json")
WARM, TIMED = 3, 10  # steps before, and within, the clock
LONGEST_STEP = 1024  # the longest sequence is looked for in steps of so many tokens


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to train; `settings` go to TRL's SFTConfig."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    attention: str = "sdpa"
    fused_loss: bool = True
    assistant_only: bool = True


OURS: dict[str, Any] = {
    "max_length": 2048, "packing": True, "per_device_train_batch_size": 4, "gradient_checkpointing": False,
    "optim": "adamw_torch_fused", "torch_compile": False,
}  # fmt: skip


def rows() -> list[Row]:
    """What is measured: a plain script, ours, ours in least memory, and ours with one choice changed."""

    def ours(name: str, attention: str = "sdpa", fused_loss: bool = True, **changed: Any) -> Row:
        return Row(name=name, settings={**OURS, **changed}, attention=attention, fused_loss=fused_loss)

    return [
        Row(name=PLAIN, assistant_only=False),
        ours("ours"),
        ours("ours, least memory", per_device_train_batch_size=1, gradient_checkpointing=True, optim="paged_adamw_8bit"),
        ours("not packed", packing=False),
        ours("loss not fused", fused_loss=False),
        ours("with checkpointing", gradient_checkpointing=True),
        ours("paged 8-bit optimiser", optim="paged_adamw_8bit"),
        ours("eager attention", attention="eager"),
        ours("flash attention", attention="flash_attention_2"),
        ours("compiled", torch_compile=True),
        ours("one sequence a step", per_device_train_batch_size=1),
    ]


def adapter() -> Any:
    """Return the adapter that every row trains."""
    from peft import LoraConfig

    return LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")


def tokenizer_of(folder: Path) -> Any:
    """Return the tokenizer in a folder, with a template that marks what the assistant says."""
    from transformers import AutoTokenizer
    from trl.chat_template_utils import get_training_chat_template

    found = AutoTokenizer.from_pretrained(folder)
    template = folder / "qwen2_5.jinja"
    if template.is_file():
        found.chat_template = template.read_text(encoding="utf-8")
    found.chat_template = get_training_chat_template(found) or found.chat_template
    return found


def encoded(file: Path, tokenizer: Any, vocabulary: int, limit: int, most: int = 4000) -> list[dict[str, list[int]]]:
    """Return instruction rows as tokens and labels; a token that a model does not have becomes another one of its own.

    Rows longer than `limit` are left out for every competitor alike.
    """
    found = []
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            said = tokenizer.apply_chat_template(
                json.loads(line)["messages"], return_assistant_tokens_mask=True, return_dict=True, tokenize=True
            )
            ids = [token % vocabulary for token in said["input_ids"]]
            if len(ids) <= limit:
                mask = said["assistant_masks"]
                labels = [token if kept else -100 for token, kept in zip(ids, mask, strict=True)]
                found.append({"input_ids": ids, "labels": labels})
            if len(found) == most:
                break
    if not found:
        raise SystemExit(f"{file} has no row of at most {limit} tokens, so nothing can be measured; give another file.")
    return found


def plain(model: Any, tokenizer: Any, data: list[dict[str, list[int]]], out: str, more: dict[str, Any]) -> Any:
    """The script that people find in tutorials, on the same model and rows: TRL's own settings, nothing chosen."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    arguments = SFTConfig(output_dir=out, max_length=2048, report_to=[], save_strategy="no", disable_tqdm=True, **more)
    rows = [{"input_ids": row["input_ids"]} for row in data]
    return SFTTrainer(
        model=model, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer, peft_config=adapter()
    )


def ours(row: Row, model: Any, tokenizer: Any, data: list[dict[str, list[int]]], out: str, more: dict[str, Any]) -> Any:
    """Our way: adapters in float32, packed rows, and whatever the row says."""
    from datasets import Dataset
    from transformers import Trainer
    from trl import SFTConfig, SFTTrainer

    class WithLogits(SFTTrainer):  # type: ignore[misc]
        """The loss from all logits at once, as transformers computes it."""

        compute_loss = Trainer.compute_loss

    arguments = SFTConfig(output_dir=out, report_to=[], save_strategy="no", disable_tqdm=True, **{**row.settings, **more})
    model.config.use_cache = False  # a cache lets packed rows see one another, and TRL turns it off for its own loss alone
    kind = SFTTrainer if row.fused_loss else WithLogits
    kept = data if row.assistant_only else [{"input_ids": each["input_ids"]} for each in data]
    found = kind(
        model=model, args=arguments, train_dataset=Dataset.from_list(kept), processing_class=tokenizer, peft_config=adapter()
    )
    for parameter in found.model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return found


def real_tokens(inputs: dict[str, Any]) -> tuple[int, int]:
    """Return the tokens of a batch that are no padding, and all that are computed."""
    mask = inputs.get("attention_mask")
    computed = inputs["input_ids"].numel()
    return (computed if mask is None else int(mask.sum())), computed


def clocked(trainer: Any) -> dict[str, float]:
    """Train, and return what the steps after the warm ones took: seconds, real and computed tokens."""
    from transformers import TrainerCallback

    seen = {"seconds": 0.0, "real": 0.0, "computed": 0.0, "steps": 0.0}
    step = trainer.training_step

    def counted(model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
        if trainer.state.global_step >= WARM:
            real, computed = real_tokens(inputs)
            seen["real"] += real
            seen["computed"] += computed
        return step(model, inputs, *more, **named)

    class Clock(TrainerCallback):  # type: ignore[misc]
        """Times whole steps, after everything that the GPU was given is done."""

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            _wait()
            self.start = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            _wait()
            if state.global_step > WARM:
                seen["seconds"] += time.perf_counter() - self.start
                seen["steps"] += 1

    trainer.training_step = counted
    trainer.add_callback(Clock())
    trainer.train()
    return seen


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measured(row: Row, config: Any, tokenizer: Any, data: list[dict[str, list[int]]], device: str) -> dict[str, Any]:
    """Measure one row, and say beside it what the plan says of it."""
    gpu = device == "cuda"
    model = random_model(config, device, row.attention)
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    steps: dict[str, Any] = {"max_steps": WARM + TIMED, "bf16": gpu, "use_cpu": not gpu}
    with tempfile.TemporaryDirectory() as out:
        script = partial(ours, row) if row.settings else plain
        trainer = script(model, tokenizer, data, out, steps)
        seen = clocked(trainer)
    length = sum(len(each["input_ids"]) for each in data) / len(data)
    sizes = architecture.described(config, adapter())
    flops = architecture.step_flops(sizes, round(seen["real"]), length, frozen=True)
    return {
        "tokens_per_second": seen["real"] / seen["seconds"],
        "filled": seen["real"] / seen["computed"],
        "peak_gib": torch.cuda.max_memory_allocated() / GIB if gpu else None,
        "planned_gib": memory.estimate(sizes, shape_of(row, trainer.args, device)).peak / GIB,
        "flops_per_second": flops / seen["seconds"],
        "card": torch.cuda.get_device_name() if gpu else device,
        "versions": {name: _version(name) for name in ("torch", "transformers", "trl", "peft", "bitsandbytes")},
    }


def shape_of(row: Row, arguments: Any, device: str) -> Shape:
    """Return the shape of a row, as our plan wants it."""
    return Shape(
        quantised=True, rank=16, sequence_length=arguments.max_length, batch_size=arguments.per_device_train_batch_size,
        packing=arguments.packing, checkpointing=arguments.gradient_checkpointing, fused_loss=row.fused_loss,
        optimiser=str(getattr(arguments.optim, "value", arguments.optim)),
        kernel="flash" if "flash" in row.attention else "sdpa",
        adapter_bytes=4 if row.settings else 2, autocast=device == "cuda", device="gpu" if device == "cuda" else "cpu",
    )  # fmt: skip


def _version(name: str) -> str:
    from importlib import metadata

    return metadata.version(name)


def fits(model: Any, tokenizer: Any, length: int, more: dict[str, Any]) -> bool:
    """Whether one step on one row of this length goes through, in the configuration of least memory."""
    row = next(each for each in rows() if each.name == "ours, least memory")
    ids = torch.randint(0, model.config.vocab_size, (length,)).tolist()
    changed = replace(row, settings={**row.settings, "max_length": length, "packing": False})
    try:
        with tempfile.TemporaryDirectory() as out:
            ours(changed, model, tokenizer, [{"input_ids": ids, "labels": ids}], out, {**more, "max_steps": 1}).train()
    except torch.OutOfMemoryError:
        return False
    return True


def longest(tries: Any, most: int, step: int = LONGEST_STEP) -> int:
    """Return the largest multiple of `step` up to `most` for which `tries` is true; 0 where not even one is."""
    low, high = 0, 1
    while high * step <= most and tries(high * step):
        low, high = high, high * 2
    high = min(high, most // step + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if tries(middle * step) else (low, middle)
    return low * step


def longest_in(gib: float, config: Any, tokenizer: Any) -> dict[str, Any]:
    """Find the longest row that trains in so much memory of this GPU; nothing about the card is changed, only what we take."""
    whole = torch.cuda.get_device_properties(0).total_memory
    if gib * GIB > whole:
        raise SystemExit(f"This GPU has {whole / GIB:.0f} GiB, so {gib:.0f} cannot be tried on it; leave this row out.")
    torch.cuda.set_per_process_memory_fraction(gib * GIB / whole)

    def tries(length: int) -> bool:
        model = random_model(config, "cuda")
        done = fits(model, tokenizer, length, {"bf16": True})
        del model
        gc.collect()
        torch.cuda.empty_cache()
        return done

    return {"longest": longest(tries, config.max_position_embeddings), "card": torch.cuda.get_device_name()}


def models() -> dict[str, list[str]]:
    """Every row of every model, in the order in which they are measured."""
    return {model: [*(row.name for row in rows()), "longest in 24 GB", "longest in 80 GB"] for model in SIZES}


def names() -> list[str]:
    """The same as one list."""
    return [f"{model} | {row}" for model, rows in models().items() for row in rows]


def one(name: str, tokenizer_folder: Path, file: Path) -> dict[str, Any]:
    """Measure the row of this name."""
    model, what = name.split(" | ")
    config, tokenizer = config_of(model), tokenizer_of(tokenizer_folder)
    if what.startswith("longest"):
        return longest_in(float(what.split()[2]), config, tokenizer)
    row = next(each for each in rows() if each.name == what)
    if "flash" in row.attention and not importlib.util.find_spec("flash_attn"):
        return {"failed": "flash-attn is not installed"}
    data = encoded(file, tokenizer, config.vocab_size, 2048)
    try:
        return measured(row, config, tokenizer, data, "cuda")
    except torch.OutOfMemoryError:
        return {"failed": "does not fit this card"}


def kept(file: Path) -> dict[str, Any]:
    """Return what has been measured."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def keep(file: Path, name: str, result: dict[str, Any]) -> None:
    """Write one result beside the others; the file is whole at any time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps({**kept(file), name: result}, indent=1), encoding="utf-8")
    beside.replace(file)


def run(options: argparse.Namespace, command: list[str]) -> None:
    """Measure what is missing, each row in a process of its own, until the time is over."""
    end = time.monotonic() + 60 * options.minutes
    for name in names():
        left = end - time.monotonic()
        if name in kept(options.results) or options.only not in name:
            continue
        if left < 30:  # seconds; less than a model takes to be made
            print(f"Stopped before {name!r}: the time is over; run it again for the rest.")
            return
        try:
            done = subprocess.run([*command, "--name", name], timeout=left, check=False, capture_output=True, text=True)
        except subprocess.TimeoutExpired:
            print(f"{name}: not done within {left:.0f} s; run it again.")
            return
        last = (done.stderr.strip().splitlines() or ["no word"])[-1][:200]
        if done.returncode:
            keep(options.results, name, {"failed": last})
        print(f"{name}: {json.dumps(kept(options.results).get(name))}", flush=True)


def main() -> None:
    """Measure, list or publish."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "list", "publish"])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--tokenizer", type=Path, help="folder of a tokenizer; with qwen2_5.jinja its template is taken")
    parser.add_argument("--rows", type=Path, help="instruction rows, JSON lines with messages")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--only", default="", help="rows with this in their name")
    parser.add_argument("--name", help="measure this row in this process")
    options = parser.parse_args()
    if options.what == "list":
        for name in names():
            print(f"{'measured' if name in kept(options.results) else 'missing':<10}{name}")
    elif options.what == "publish":
        section(kept(options.results), models(), (WARM, TIMED))
    elif not torch.cuda.is_available():
        section(kept(options.results), models(), (WARM, TIMED))
        print("There is no GPU here, so nothing was measured; run this on a machine with one.", file=sys.stderr)
    elif not options.tokenizer or not options.rows:
        parser.error("run needs --tokenizer and --rows")
    elif options.name:
        keep(options.results, options.name, one(options.name, options.tokenizer, options.rows))
    else:
        run(options, [sys.executable, *sys.argv])


if __name__ == "__main__":
    main()
