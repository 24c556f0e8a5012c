"""A finished run as files for others to load: adapter, merged model, 8 or 4 bits, GGUF or fewer layers; each judged first."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError

from agri_llm.errors import AgriError, BadInput, TrainingStopped
from training import export_card, finished, formats, held_out, pruning, rehearsal, run_files
from training.export_card import Card
from training.finished import Finished
from training.held_out import Loss, Rows
from training.progress import Tell

if TYPE_CHECKING:
    from training.configuration import Kind

MOST_WORSE = 0.05
"""Nats of held-out loss that an export may cost: 5 % of perplexity, what Q4_K_M cost Llama-3-70B (llama.cpp, PR #6745)."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to export and where to; `kind` is a name of `formats.KINDS`, `check` a file of rows to judge by."""

    run: Path
    kind: str
    out: Path
    base: str | None = None
    check: Path | None = None
    gguf_type: str = "q8_0"
    layers: int = 0
    allow_worse: bool = False


def export(wanted: Wanted, tell: Tell) -> Card:
    """Write the export and its card into a new folder, which is there whole or not at all.

    Raises BadInput for what cannot be exported or got worse than MOST_WORSE, ModelMissing, TrainingStopped for a full disk.
    """
    _check(wanted)
    run = finished.read(wanted.run, wanted.base)
    tokenizer, stops = finished.tokenizer(run.tokenizer_from)
    kind: Kind = "pretrain" if run.kind == "pretrain" else "sft"
    rows = held_out.read(_rows_of(wanted, run), tokenizer, stops, int(run.contract.get("max_length") or 2048), kind)
    tell(f"judging by {len(rows.encoded)} held-out rows, {rows.left_out} left out")
    building = wanted.out.with_name(wanted.out.name + ".new")
    with _whole(wanted.out, building):
        _check_disk(wanted, run)
        before, dropped = _as_trained(wanted, run, rows)
        tell(f"as trained: held-out loss {before.value:.4f}")
        formats.write(wanted.kind, run, building, gguf_type=wanted.gguf_type, dropped=dropped)
        return _judged(wanted, run, rows, before, dropped, tell)


def _judged(wanted: Wanted, run: Finished, rows: Rows, before: Loss, dropped: tuple[int, ...], tell: Tell) -> Card:
    """Load what was written, judge it, write its card."""
    building = wanted.out.with_name(wanted.out.name + ".new")
    agreed = formats.check_contract(wanted.kind, run, building)
    after, greedy = _as_exported(wanted.kind, run, building, rows)
    tell(f"as exported: held-out loss {after.value:.4f}")
    cost = after.above(before)
    plain = _on_plain_base(run, building, rows) if wanted.kind == "adapter" and run.four_bit else None
    if wanted.kind != "pruned" and cost.value > MOST_WORSE and not wanted.allow_worse:
        raise BadInput(
            f"the held-out loss of the {wanted.kind} export is {after.value:.4f}, and {before.value:.4f} as trained",
            f"more than {MOST_WORSE} above is much of what was learned",
            f"{formats.INSTEAD[wanted.kind]}, or accept it with --allow-worse",
        )
    card = export_card.describe(
        run, wanted.kind, building, before=before, after=after, plain=plain, greedy=greedy, agreed=agreed, dropped=dropped
    )
    export_card.write(card, building)
    return card


def _check(wanted: Wanted) -> None:
    if wanted.kind not in formats.KINDS:
        raise BadInput(f"{wanted.kind!r} is no form of export", "it is not known here", f"choose of {', '.join(formats.KINDS)}")
    if wanted.out.exists():
        raise BadInput(f"{wanted.out} is there already", "an export never overwrites", "choose another --out")
    if (wanted.kind == "pruned") != bool(wanted.layers):
        raise BadInput("--layers and --to pruned go together", "one of them is missing", "give both, or neither")


def _rows_of(wanted: Wanted, run: Finished) -> Path:
    found = wanted.check or (run.data / "validation.jsonl" if run.data else None)
    if found is None or not found.is_file():
        raise BadInput(
            f"there are no held-out rows{f' at {found}' if found else ''}",
            "nothing could tell what the export costs",
            "give a file of rows with --check",
        )
    return found


def _as_trained(wanted: Wanted, run: Finished, rows: Rows) -> tuple[Loss, tuple[int, ...]]:
    """Return the loss of the run itself, and which layers an export leaves out."""
    model = finished.as_trained(run)
    try:
        dropped = pruning.least_needed(model, rows, wanted.layers) if wanted.kind == "pruned" else ()
        return held_out.measure(model, rows), dropped
    finally:
        del model
        _free()


def _as_exported(kind: str, run: Finished, out: Path, rows: Rows) -> tuple[Loss, tuple[int, int]]:
    """Return the loss of what was written, and how many of the fixed questions it answers as the run did."""
    model = formats.load(kind, run, out)
    try:
        return held_out.measure(model, rows), formats.same_greedy(model, run)
    finally:
        del model
        _free()


def _on_plain_base(run: Finished, adapter: Path, rows: Rows) -> Loss:
    """Return the loss of an adapter on the base in 16 bits: it corrects the rounding of four bits that is not there."""
    try:
        return held_out.measure(formats.load_plain(run, adapter), rows)
    finally:
        _free()


def _check_disk(wanted: Wanted, run: Finished) -> None:
    """Raise BadInput where the export would not fit; it is known before anything is loaded."""
    needed = formats.bytes_needed(wanted.kind, run)
    free = shutil.disk_usage(rehearsal.existing(wanted.out.absolute())).free
    if needed > free:
        raise BadInput(
            f"the export takes about {export_card.size(needed)}, and {export_card.size(free)} are free at {wanted.out}",
            "it would end in the middle",
            "free space, or choose another --out",
        )


@contextmanager
def _whole(out: Path, building: Path) -> Iterator[None]:
    """Let a folder be built beside its place and moved there when it is done; a failure leaves nothing."""
    try:
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        yield
        building.replace(out)
    except AgriError:
        raise
    except (OSError, SafetensorError, RuntimeError) as error:
        if getattr(error, "errno", None) in run_files.FULL or "o space left" in str(error):
            raise TrainingStopped(
                f"the disk of {out} is full", "the export could not be written", "free space, or choose another --out"
            ) from error
        raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _free() -> None:
    """Give the memory of a model back before the next one is loaded."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
