"""What a training really takes of memory, against what `agri train plan` says it will, for models built here.

    python benchmarks/train_memory.py [--results FILE]   again goes on where it stopped; remove FILE to begin anew

Every row is three steps of TRL's SFTTrainer with random weights and tokens on the processor. Measured is the sum of what torch
has allocated, by its own profiler, and of the weights; estimated the peak of training/memory.py. Files read are not counted.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from report import machine, publish, table

from agri_llm.language.local import nf4_config
from training import architecture, memory
from training.architecture import Architecture
from training.memory import Shape

STEPS = 2  # in the second the states of the optimiser are there
RANK = 16
TARGETS = "all-linear"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One training: the sizes of a decoder, and the shape of the run."""

    name: str
    sizes: dict[str, int]
    shape: Shape


SMALL = {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4, "num_attention_heads": 8,
         "num_key_value_heads": 2, "vocab_size": 2000}  # fmt: skip
LARGER = {**SMALL, "hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 6, "vocab_size": 4000}  # fmt: skip
# So wide that the backward pass of a layer, and not the loss, needs most.
WIDE = {**SMALL, "hidden_size": 1024, "intermediate_size": 6144, "num_hidden_layers": 2, "vocab_size": 500}
ON_PROCESSOR = {"device": "cpu", "sequence_length": 128, "batch_size": 2}


def cases() -> list[Case]:
    """The trainings that are measured: every way to train that differs in what it keeps."""

    def case(name: str, sizes: dict[str, int], **shape: Any) -> Case:
        return Case(name=name, sizes=sizes, shape=Shape(**{**ON_PROCESSOR, **shape}))

    return [
        case("full, float32, all kept", SMALL, quantised=False, full=True, checkpointing=False, weight_bytes=4, autocast=False),
        case("LoRA, bfloat16, all kept", SMALL, quantised=False, checkpointing=False),
        case("QLoRA, NF4, checkpointing", LARGER, quantised=True, batch_size=2),
        case("QLoRA, NF4, wide layers", WIDE, quantised=True, batch_size=4),
        case("LoRA, bfloat16, wide layers, all kept", WIDE, quantised=False, batch_size=4, checkpointing=False),
        case("full, float32 under autocast, checkpointing", SMALL, quantised=False, full=True, weight_bytes=4, batch_size=2),
        case("QLoRA, NF4, all kept, not packed", SMALL, quantised=True, checkpointing=False, packing=False),
        case("LoRA, bfloat16, checkpointing, accumulation", LARGER, quantised=False, gradient_accumulation=2, batch_size=1,
             sequence_length=256),
        case("QLoRA, NF4, 8-bit optimiser, rank 64", LARGER, quantised=True, rank=64, optimiser="adamw_8bit", batch_size=2),
    ]  # fmt: skip


def built(case: Case, folder: Path) -> Path:
    """Save a random model of these sizes and a tokenizer of a few words, and return their folder."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({"<pad>": 0, "<eos>": 1, "<unk>": 2}, unk_token="<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<eos>", pad_token="<pad>").save_pretrained(folder)
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**case.sizes, max_position_embeddings=4096, tie_word_embeddings=False))
    model.to(torch.float32 if case.shape.weight_bytes == 4 else torch.bfloat16).save_pretrained(folder)
    return folder


def adapter(shape: Shape) -> Any:
    """The adapter of a case, None where all weights are trained."""
    from peft import LoraConfig

    return None if shape.full else LoraConfig(r=shape.rank, lora_alpha=32, target_modules=TARGETS, task_type="CAUSAL_LM")


def trainer(case: Case, folder: Path) -> Any:
    """Return TRL's trainer for a case, with random tokens of full rows."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    shape = case.shape
    length = shape.sequence_length // (2 if shape.packing else 1)
    rows = shape.batch_size * shape.gradient_accumulation * STEPS * (2 if shape.packing else 1)
    tokens = torch.randint(3, case.sizes["vocab_size"], (rows, length)).tolist()
    arguments = SFTConfig(
        output_dir=str(folder / "out"), model_init_kwargs={"dtype": "float32" if shape.weight_bytes == 4 else "bfloat16"},
        max_length=shape.sequence_length, packing=shape.packing, bf16=shape.autocast, use_cpu=True, max_steps=STEPS,
        per_device_train_batch_size=shape.batch_size, gradient_accumulation_steps=shape.gradient_accumulation,
        gradient_checkpointing=shape.checkpointing, optim=shape.optimiser, report_to=[], save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    quantised = {"quantization_config": nf4_config()} if shape.quantised else {}
    found = SFTTrainer(
        model=str(built(case, folder / "model")), args=arguments, peft_config=adapter(shape),
        train_dataset=Dataset.from_list([{"input_ids": row} for row in tokens]), **quantised,
    )  # fmt: skip
    for parameter in found.model.parameters():
        if parameter.requires_grad and not shape.full:
            parameter.data = parameter.data.float()
    return found


def held(model: Any) -> int:
    """Return the bytes of a model's weights, with the constants of 4-bit ones; a storage that two share counts once."""
    storages: dict[int, int] = {}
    for each in [*model.parameters(), *model.buffers()]:
        tensors = [each]
        state = getattr(each, "quant_state", None)
        if state is not None:
            tensors += [state.absmax, state.code, state.offset, state.state2.absmax, state.state2.code]
        storages |= {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


@contextmanager
def allocations() -> Iterator[list[int]]:
    """Give a list that holds, after the block, the running sum of bytes that torch allocated within it."""
    from torch.profiler import ProfilerActivity, profile

    sums: list[int] = []
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        yield sums
    events = [
        (each.start_ns(), each.nbytes()) for each in watched.profiler.kineto_results.events() if each.name() == "[memory]"
    ]
    now = 0
    for _, size in sorted(events, key=lambda event: event[0]):
        now += size
        sums.append(now)


def measured(case: Case) -> int:
    """Return the most bytes that were held during the training of a case."""
    with tempfile.TemporaryDirectory() as folder:
        ready = trainer(case, Path(folder))
        gc.collect()  # what an earlier case left would else be freed within the block, and be missing from the sum
        weights = held(ready.model)
        with allocations() as sums:
            ready.train()
    return weights + max(sums)


def estimated(case: Case) -> memory.Memory:
    """Return what our plan says of a case."""
    return memory.estimate(sized(case), case.shape)


def sized(case: Case) -> Architecture:
    """Return the parameters of a case by part."""
    from transformers import LlamaConfig

    config = LlamaConfig(**case.sizes, max_position_embeddings=4096, tie_word_embeddings=False)
    return architecture.described(config, adapter(case.shape), case.name)


def row(case: Case) -> list[object]:
    """Measure one case."""
    said, seen = estimated(case), measured(case)
    moment = max(said.moments, key=lambda name: said.moments[name])
    size, megabyte = sized(case), 1024**2
    return [
        case.name, architecture.rounded(size.base), f"{case.shape.batch_size} × {case.shape.sequence_length}",
        f"{said.peak / megabyte:.0f}", f"{seen / megabyte:.0f}", f"{said.peak / seen - 1:+.1%}", moment,
    ]  # fmt: skip


def main() -> None:
    """Measure what is missing, keeping each row, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("build/benchmark/train-memory.json"), help="rows kept so far")
    file = parser.parse_args().results
    file.parent.mkdir(parents=True, exist_ok=True)
    kept: dict[str, list[object]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for case in cases():
        if case.name not in kept:
            kept[case.name] = row(case)
            file.write_text(json.dumps(kept), encoding="utf-8")
    header = ["training", "parameters", "batch × length", "estimated MiB", "measured MiB", "off by", "peak when"]
    text = table(header, [kept[case.name] for case in cases()])
    publish(
        "train-memory",
        "Memory of a training, estimated and measured",
        f"`python benchmarks/train_memory.py`, {machine()}, torch {torch.__version__.split('+')[0]}. Random weights and\n"
        f"tokens, {STEPS} steps of TRL's SFTTrainer on the processor; measured is the peak of what torch's profiler saw\n"
        "allocated, weights included. On a processor the fused loss works on float32 tiles that a GPU does not need; the\n"
        "estimate for a GPU leaves them out and is *not measured* yet (benchmarks/train_gpu.py does that).\n\n" + text,
    )


if __name__ == "__main__":
    main()
