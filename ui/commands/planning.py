"""What `agri train plan` prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training import configuration, plan
from training.architecture import rounded
from training.configuration import Kind
from training.laws import Judgement
from training.memory import GIB
from training.plan import Plan
from ui.commands.console import say
from ui.commands.rendering import columns, one_line


def planned(
    kind: Kind, config: Path, flags: Sequence[str], measured: Path | None, costs: dict[str, float | None], gpus: int
) -> Plan:
    """Plan what `agri train sft` or `pretrain` would do by the same file and flags. Raises BadInput, ModelMissing."""
    chosen = configuration.read(config, kind, flags, needed=("model", "data"))
    say(f"Settings: {configuration.described(chosen)}", sys.stderr)
    if measured is not None:
        costs = {**costs, "tokens_per_second": plan.measured_speed(measured)}
    if costs.get("card_gib") is None:
        costs = {**costs, "card_gib": chosen.ours.card_gib or None}
    more: dict[str, Any] = {**costs, "gpus": gpus}
    return plan.made(plan.asked_of(chosen, **more), Path(chosen.ours.data))


def text(found: Plan, *, as_json: bool) -> str:
    """Return a plan as a table, or as one JSON object."""
    return one_line(as_values(found)) if as_json else columns(as_rows(found))


def as_values(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain values; bytes, tokens, hours."""
    model, found = plan.architecture, plan.judgement
    return {
        "model": plan.asked.model, "method": plan.asked.method,
        "shape": asdict(plan.asked.shape),
        "parameters": {
            "all": model.base, "linear": sum(model.linear), "embeddings": model.embeddings, "head": model.head,
            "norms_and_biases": model.small, "adapter": model.adapter,
            "trained": model.base if plan.asked.shape.full else model.adapter,
        },
        "memory_bytes": {**asdict(plan.memory), "peak": plan.memory.peak}, "needed_gib": round(plan.needed_gib, 2),
        "fits": plan.fits,
        "rows": len(plan.lengths.tokens), "tokens_estimated_from_letters": plan.lengths.estimated,
        "batches": {**asdict(plan.batches), "filled": round(plan.batches.filled, 4)},
        "steps": plan.steps, "epochs": round(plan.epochs, 3), "tokens": plan.tokens, "flops": plan.flops,
        "hours": plan.hours, "cost": plan.cost,
        "laws": {**asdict(found), "outside": [name for name in found.deserves if found.outside(name)]},
    }  # fmt: skip


def as_rows(plan: Plan) -> list[list[str]]:
    """Return the plan as rows of a table: what, how much, and a word on it."""
    return [*_parameter_rows(plan), *_memory_rows(plan), *_data_rows(plan), *_time_rows(plan), *_law_rows(plan)]


def _parameter_rows(plan: Plan) -> list[list[str]]:
    model, full = plan.architecture, plan.asked.shape.full
    trained = model.base if full else model.adapter
    return [
        ["parameters", rounded(model.base), f"matrices {rounded(sum(model.linear))}, embeddings {rounded(model.embeddings)}, "
         f"head {rounded(model.head) if model.head else 'shared'}, norms and biases {rounded(model.small)}"],
        ["trained", rounded(trained), f"{plan.asked.method}, {trained / model.base:.2%} of the model"],
    ]  # fmt: skip


def _memory_rows(plan: Plan) -> list[list[str]]:
    found, shape = plan.memory, plan.asked.shape
    moment = max(found.moments, key=lambda name: found.moments[name])
    parts = {
        "weights": "4 bits a matrix element" if shape.quantised else f"{shape.weight_bytes} bytes each",
        "constants": "of the 4-bit blocks, doubly quantised", "adapters": f"{shape.adapter_bytes} bytes each",
        "gradients": "", "optimiser": shape.optimiser,
        "activations": "the stream between layers" if shape.checkpointing else "all of every layer",
        "loss": "head and loss, in tiles" if shape.fused_loss else "head and loss, all logits",
        "backward": "one layer" + (", computed again" if shape.checkpointing else ""),
    }  # fmt: skip
    rows = [[f"  {name}", _gib(getattr(found, name)), note] for name, note in parts.items()]
    verdict = "" if plan.fits is None else f"; {'fits' if plan.fits else 'does not fit'} {plan.asked.card_gib:g} GiB"
    peak = f"when: {moment}; not all parts are there at once"
    return [
        ["memory", _gib(found.peak), peak],
        *rows,
        ["card", f"{plan.needed_gib:.2f} GiB", "with context and margin" + verdict],
    ]


def _data_rows(plan: Plan) -> list[list[str]]:
    batches, shape = plan.batches, plan.asked.shape
    counted = (
        "estimated from letters: the model has no tokenizer here" if plan.lengths.estimated else "by the model's tokenizer"
    )
    lost = f"; {batches.too_long} longer than {shape.sequence_length} are left out" if batches.too_long else ""
    return [
        ["rows", str(len(plan.lengths.tokens)), f"{rounded(plan.lengths.total)} tokens, {counted}{lost}"],
        ["sequences", str(batches.sequences), f"{'packed' if shape.packing else 'padded'}, {batches.filled:.0%} real tokens"],
        ["steps", str(plan.steps), f"{plan.epochs:.3g} epochs, {shape.batch_size} × {shape.gradient_accumulation} × "
         f"{plan.asked.gpus} sequences a step"],
        ["tokens", rounded(plan.tokens), f"{plan.flops:.2g} floating-point operations"],
    ]  # fmt: skip


def _time_rows(plan: Plan) -> list[list[str]]:
    if plan.hours is None:
        return [["time", "not known", "give --tokens-per-second, or --measured with the folder of a run"]]
    rows = [["time", f"{plan.hours:.2f} h", f"at {plan.asked.tokens_per_second:,.0f} tokens/s"]]
    if plan.cost is not None:
        rows.append(["cost", f"{plan.cost:.2f}", f"{plan.asked.gpus} × {plan.hours:.2f} h at {plan.asked.price:g} an hour"])
    return rows


def _law_rows(plan: Plan) -> list[list[str]]:
    found = plan.judgement
    rows = [
        [f"  {name}", rounded(tokens), f"tokens for this size; {_supported(found, name)}"]
        for name, tokens in found.deserves.items()
    ]
    repeated = f"{rounded(found.unique)} seen {found.seen / found.unique:.3g} times are worth {rounded(found.effective)}"
    return [
        ["laws", "from scratch", "they speak of pretraining; tuning a model that has read much needs far less"],
        *rows,
        ["  Kaplan 2020, least", rounded(found.least), "tokens below which this size overfits when it starts from nothing"],
        ["  Muennighoff 2023", rounded(found.effective), repeated],
    ]


def _supported(found: Judgement, law: str) -> str:
    if found.outside(law):
        return "the tokens of this run are outside what it was fitted on"
    return f"the tokens of this run suit {rounded(found.supports[law])} parameters"


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB" if size >= GIB / 100 else f"{size / 1024**2:.2f} MiB"
