"""The card that lies beside every export: what it was made from, what loads it, and what it costs."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training import formats, run_files
from training.finished import Finished
from training.held_out import Loss
from training.intervals import Interval
from training.rows import file_hash, write_whole

FILE, TEXT = "export.json", "card.md"


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known of an export; losses in nats a learned token, sizes in bytes."""

    kind: str
    run: str
    base: dict[str, Any]
    adapter: str | None
    rows: int
    loss_before: float
    loss_after: float
    cost: Interval
    on_plain_base: float | None
    cost_on_plain_base: Interval | None
    bytes_before: int
    bytes_after: int
    greedy_same: int
    greedy: int
    dropped_layers: tuple[int, ...]
    contract: tuple[str, ...]
    loaded_by: str
    made_with: dict[str, Any]


def describe(
    run: Finished,
    kind: str,
    out: Path,
    *,
    before: Loss,
    after: Loss,
    plain: Loss | None,
    greedy: tuple[int, int],
    agreed: list[str],
    dropped: tuple[int, ...],
) -> Card:
    """Return the card of an export that lies in a folder."""
    weights = run.learned / "adapter_model.safetensors"
    return Card(
        kind=kind,
        run=run.folder.name,
        base=dict(run.contract.get("base", {})),
        adapter=file_hash(weights) if weights.is_file() else None,
        rows=len(before.parts),
        loss_before=before.value,
        loss_after=after.value,
        cost=after.above(before),
        on_plain_base=plain.value if plain else None,
        cost_on_plain_base=plain.above(before) if plain else None,
        bytes_before=_bytes(Path(run.weights_from)) + (0 if run.whole else _bytes(run.learned)),
        bytes_after=_bytes(out),
        greedy_same=greedy[0],
        greedy=greedy[1],
        dropped_layers=dropped,
        contract=tuple(agreed),
        loaded_by=formats.LOADED_BY[kind],
        made_with=run_files.provenance(),
    )


def _bytes(folder: Path) -> int:
    """Return the size of the weights of a folder; 0 for a name on a hub."""
    found = [*folder.glob("*.safetensors"), *folder.glob("*.gguf")] if folder.is_dir() else []
    return sum(file.stat().st_size for file in found)


def write(card: Card, out: Path) -> None:
    """Write the card for people, and last the one for programs: without it an export is not complete."""
    write_whole(out / TEXT, text(card) + "\n")
    write_whole(out / FILE, json.dumps(dataclasses.asdict(card), indent=1, ensure_ascii=False) + "\n")


def text(card: Card) -> str:
    """Return the card as Markdown."""
    kept = "the base stays as it is" if card.kind == "adapter" else f"{card.bytes_after / max(1, card.bytes_before):.0%}"
    base = str(card.base.get("weights") or "unknown")
    lines = [
        f"# {card.run}, exported as {card.kind}",
        "",
        "| | as trained | exported | difference |",
        "|---|---|---|---|",
        f"| held-out loss of the assistant's words, {card.rows} rows"
        f" | {card.loss_before:.4f} | {card.loss_after:.4f} | {_difference(card.cost)} |",
        f"| weights on disk | {size(card.bytes_before)} | {size(card.bytes_after)} | {kept} |",
        f"| fixed questions answered in the same words | {card.greedy} | {card.greedy_same} | |",
        "",
        f"- Base: {card.base.get('name')}, weights {base[:16]}{', trained on it in NF4' if card.base.get('four_bit') else ''}.",
        f"- Adapter: {card.adapter[:16] if card.adapter else 'none, all weights were trained'}.",
        f"- Loaded by: {card.loaded_by}.",
        *(f"- Contract, checked on the files written: {line}." for line in card.contract),
    ]
    if card.on_plain_base is not None and card.cost_on_plain_base is not None:
        lines.insert(
            5,
            f"| the same, the base in 16 bits (vLLM, processors) | {card.loss_before:.4f} | {card.on_plain_base:.4f}"
            f" | {_difference(card.cost_on_plain_base)} |",
        )
    if card.dropped_layers:
        lines.append(f"- Layers left out, counted from 0: {', '.join(map(str, card.dropped_layers))}.")
    lines.append("- Nats a token; the interval holds in 95 % of draws of groups of rows. `agri evaluate` asks the suites.")
    return "\n".join(lines)


def _difference(cost: Interval) -> str:
    between = f" ({cost.low:+.4f} to {cost.high:+.4f})" if cost.low is not None and cost.high is not None else ""
    return f"{cost.value:+.4f}{between}"


def size(number: float) -> str:
    """Return bytes as people read them."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"
