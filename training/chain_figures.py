"""Held-out figures of a chain: bits per byte, losses of answers, what is reached of each floor, and a table of all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from training import chats
from training.rows import Row

# The requirement: 25 % less loss, 90 % of answers well cited, 80 % of unanswerable questions refused.
FLOORS = {"assistant loss": 0.25, "valid citation form": 0.90, "unanswerable refused": 0.80}
TOGETHER = 8  # rows or windows at once


def bits_per_byte(model: Any, documents: Sequence[Sequence[int]], context: int, size: int) -> float:
    """Return the bits that a decoder needs for each byte of documents of `size` bytes, their first tokens left out.

    Every token but the first of a document is predicted once, in windows that go on by half a context.
    """
    import torch

    total = 0.0
    windows = [(ids[at : at + context], skip) for ids in documents for at, skip in _windows(len(ids), context)]
    windows.sort(key=lambda each: len(each[0]))
    with torch.inference_mode():
        for start in range(0, len(windows), TOGETHER):
            batch = windows[start : start + TOGETHER]
            labels = [[chats.IGNORED] * skip + list(ids[skip:]) for ids, skip in batch]
            total += _loss(model, [list(ids) for ids, _ in batch], labels)[0]
    return total / math.log(2) / size


def _windows(length: int, context: int) -> list[tuple[int, int]]:
    """Return where windows begin, and how many of their first tokens an earlier one predicted already."""
    found = [(0, 1)]
    while found[-1][0] + context < length:
        begin = found[-1][0]
        found.append((begin + context // 2, context - context // 2))
    return found


def answer_loss(model: Any, tokenizer: Any, asked: Sequence[Row], stops: Sequence[int]) -> tuple[float, int]:
    """Return the loss a token of the answers of rows, in nats, and how many tokens these are."""
    import torch

    encoded = sorted((chats.encode(tokenizer, row.messages, stops) for row in asked), key=lambda each: len(each.ids))
    total, tokens = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(encoded), TOGETHER):
            batch = encoded[start : start + TOGETHER]
            loss, count = _loss(model, [one.ids for one in batch], [one.labels for one in batch])
            total, tokens = total + loss, tokens + count
    return total / max(1, tokens), tokens


def _loss(model: Any, ids: list[list[int]], labels: list[list[int]]) -> tuple[float, int]:
    """Return the summed loss of labelled tokens in nats, and their number; short rows are filled up on the right."""
    import torch

    longest = max(map(len, ids))
    rows = torch.tensor([each + [0] * (longest - len(each)) for each in ids])
    seen = torch.tensor([[1] * len(each) + [0] * (longest - len(each)) for each in ids])
    wanted = torch.tensor([each + [chats.IGNORED] * (longest - len(each)) for each in labels])[:, 1:]
    picked = wanted != chats.IGNORED
    logits = model(input_ids=rows, attention_mask=seen, use_cache=False).logits[:, :-1][picked].float()
    loss = torch.nn.functional.cross_entropy(logits, wanted[picked], reduction="sum")
    return float(loss), int(picked.sum())


def floors(losses: Mapping[str, float], shares: Mapping[str, Mapping[str, tuple[int, int]]]) -> dict[str, dict[str, Any]]:
    """Return, for each tuning, what it reached of each floor; `losses` and `shares` are by model, the untuned one is "base"."""
    found: dict[str, dict[str, Any]] = {}
    for name in losses:
        if name == "base":
            continue
        less = 1 - losses[name] / losses["base"]
        reached = {"assistant loss": less}
        for share in ("valid citation form", "unanswerable refused"):
            part, whole = shares[name].get(share, (0, 0))
            reached[share] = part / whole if whole else 0.0
        found[name] = {
            each: {"floor": FLOORS[each], "reached": round(value, 4), "met": value >= FLOORS[each]}
            for each, value in reached.items()
        }
    return found


def table(figures: Mapping[str, Any]) -> str:
    """Return the figures of a chain as Markdown: a line for each, a column for each model."""
    text, tuned = figures["text"], figures["answers"]
    models, losses = list(tuned["loss"]), [f"{each:.3f}" for each in tuned["loss"].values()]
    lines = [
        f"Held-out text ({text['tokens']:,} tokens, {text['bytes']:,} bytes), bits per byte:"
        f" decoder {text['decoder']:.3f}, 5-gram with Kneser-Ney smoothing {text['5-gram']:.3f}"
        f" ({'the decoder is better' if text['decoder'] < text['5-gram'] else 'the decoder is NOT better'}).",
        "",
        f"Held-out questions ({tuned['rows']:,} rows of the test split):",
        "",
        f"| figure | {' | '.join(models)} | floor |",
        f"|---|{'---|' * len(models)}---|",
        f"| loss of answers, nats a token | {' | '.join(losses)} | −25 % |",
    ]
    names = list(dict.fromkeys(name for one in models for name in tuned["shares"][one]))
    for name in names:
        cells = [_share(tuned["shares"][one].get(name)) for one in models]
        floor = f"{FLOORS[name]:.0%}" if name in FLOORS else ""
        lines.append(f"| {name} | {' | '.join(cells)} | {floor} |")
    for one, each in tuned["floors"].items():
        missed = [f"{name} {said['reached']:.1%} of {said['floor']:.0%}" for name, said in each.items() if not said["met"]]
        lines += ["", f"{one}: {'every floor is reached' if not missed else 'not reached: ' + '; '.join(missed)}."]
    return "\n".join(lines)


def _share(parts: Sequence[int] | None) -> str:
    """Return a share with its 95 % interval (Wilson 1927) and what it was counted on."""
    if not parts or not parts[1]:
        return "–"
    from scipy.stats import binomtest

    part, whole = parts
    limits = binomtest(part, whole).proportion_ci(method="wilson")
    return f"{part / whole:.1%} ({limits.low:.0%}–{limits.high:.0%}, {part} of {whole})"
