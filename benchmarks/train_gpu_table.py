"""The table of benchmarks/train_gpu.py."""

from __future__ import annotations

from typing import Any

from report import publish, table

# Dense bfloat16 matrix products a second by the vendor's data sheets, in operations; the first name that fits counts.
PEAKS = {
    "B200": 2.25e15, "H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12,
    "A10": 125e12, "RTX 5090": 209.5e12, "RTX 4090": 165.2e12, "RTX 3090": 71e12,
}  # fmt: skip
THEIRS: list[list[object]] = [
    ["*torchtune: Llama-3.1-8B QLoRA, RTX 4090, packed 2048, compiled*", "2413", "", "7.4", "", "", ""],
    ["*torchtune: Llama-3.2-3B QLoRA, A100, length 4096*", "8035", "", "4.6", "", "", ""],
    ["*Unsloth: 8B QLoRA, its own claim*", "2 × Hugging Face with FA2", "", "over 70 % less", "", "", ""],
]
PLAIN = "plain TRL script"


def peak_of(card: str) -> float | None:
    """Return the peak of a card, None for one that is not in the table."""
    return next((flops for name, flops in PEAKS.items() if name.lower() in card.lower()), None)


def line(name: str, found: dict[str, Any] | None, base: float | None) -> list[object]:
    """Return one row of the table."""
    if found is None or "failed" in found:
        return [name, "not measured" if found is None else found["failed"], "", "", "", "", ""]
    if "longest" in found:
        return [name, f"{found['longest']} tokens", "", "", "", "", ""]
    speed, peak = found["tokens_per_second"], peak_of(found["card"])
    memory = f"{found['peak_gib']:.2f}" if found["peak_gib"] is not None else ""
    used = f"{found['flops_per_second'] / peak:.1%}" if peak else ""
    times = f"{speed / base:.2f}" if base else ""
    return [name, f"{speed:.0f}", f"{found['filled']:.0%}", memory, f"{found['planned_gib']:.2f}", used, times]


def text_of(results: dict[str, Any], models: dict[str, list[str]]) -> str:
    """Return the section: a table for each model, with the rows that others published marked as theirs."""
    header = ["", "real tokens/s", "not padding", "peak GiB", "planned GiB", "utilisation", "times the plain script"]
    parts = []
    for model, rows in models.items():
        mine = {name: results.get(f"{model} | {name}") for name in rows}
        base = (mine[PLAIN] or {}).get("tokens_per_second")
        parts.append(f"**{model}**\n\n" + table(header, [line(name, found, base) for name, found in mine.items()] + THEIRS))
    return "\n\n".join(parts)


def section(results: dict[str, Any], models: dict[str, list[str]], steps: tuple[int, int]) -> None:
    """Write the section of docs/benchmarks.md; `models` says which rows there are, `steps` how many warm and timed ones."""
    cards = sorted({each["card"] for each in results.values() if "card" in each})
    where = f"on {', '.join(cards)}" if cards else "*not measured*: no GPU was at hand"
    publish(
        "train-gpu",
        "QLoRA on one GPU",
        f"`python benchmarks/train_gpu.py run --tokenizer FOLDER --rows FILE`, {where}. Architectures of the\n"
        "models named, random weights in NF4 (speed and memory do not depend on the values), rank 16 on all matrices;\n"
        f"{steps[0]} steps to warm up, {steps[1]} timed. Real tokens are those of prompts and answers, padding left out;\n"
        "utilisation is 4 floating-point operations a frozen parameter and real token, 6 an adapter's, and attention's, over\n"
        "time and the card's dense bfloat16 peak by its data sheet: what checkpointing computes twice, and gradients that\n"
        "frozen weights never get, do not count. The plain script takes TRL's own settings. Rows in italics are others'\n"
        "own figures, on their machines.\n\n" + text_of(results, models),
    )
