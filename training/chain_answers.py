"""What a model writes to held-out questions, word by likeliest word, and whether it is of the form that we want."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import regex

from agri_llm import safety
from agri_llm.language import chat_template
from agri_llm.prompts import REFUSAL_MARK
from agri_llm.records import Passage
from agri_llm.sentences import split
from training.progress import Tell
from training.rows import Row

BATCH = 16  # answers written at once
# A passage ends where the next begins, or what the request says after all of them.
_PASSAGE = regex.compile(
    r"^\[(\d+)\] (.*?)(?=\n\[\d+\] |\n\n(?:Known about the field|The photo looks like|Earlier question|Question)\b|\Z)",
    regex.DOTALL | regex.MULTILINE,
)
_MARK = regex.compile(r"\[(\d{1,3})\]")
SHARES = ("valid citation form", "sentences carried", "answerable refused", "unanswerable refused", "unclear asked back")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Numerator and denominator of each share that one reply counts for."""

    shares: Mapping[str, tuple[int, int]]


def passages_of(row: Row) -> list[Passage]:
    """Return the passages that the request of a row shows, in the order of their numbers."""
    request = next(message["content"] for message in reversed(row.messages) if message["role"] == "user")
    body = request.partition("Passages:\n")[2]
    found = _PASSAGE.findall(body)
    return [Passage(id=number, document_id=number, title="", text=text, language=row.language) for number, text in found]


def judge(row: Row, reply: str) -> Judged:
    """Judge a reply by our own checks.

    Citation form: every sentence ends with numbers of passages shown. Carried: `safety.check_sentence` finds the words of the
    sentence in the passage it cites. A refusal is the mark that the request asks for, and nothing else.
    """
    refused = reply.strip().rstrip(".") == REFUSAL_MARK
    shares: dict[str, tuple[int, int]] = {}
    if row.kind == "refusal":
        shares["unanswerable refused"] = (int(refused), 1)
    elif row.kind == "clarification":
        shares["unclear asked back"] = (int(_asks(reply)), 1)
    else:
        shares["answerable refused"] = (int(refused), 1)
        if not refused:
            shown = passages_of(row)
            said = [span.text for span in split(reply)]
            shares["valid citation form"] = (int(well_cited(said, len(shown))), 1)
            carried = sum(isinstance(safety.check_sentence(each, shown), safety.Supported) for each in said)
            shares["sentences carried"] = (carried, max(1, len(said)))
    return Judged(shares=shares)


def well_cited(sentences: Sequence[str], passages: int) -> bool:
    """Whether there is a sentence, and each ends with numbers of passages that were shown."""
    ends = [regex.search(r"(?:\[\d{1,3}\])+$", sentence.strip()) for sentence in sentences]
    marks = [int(mark) for sentence in sentences for mark in _MARK.findall(sentence)]
    return bool(sentences) and all(ends) and all(1 <= mark <= passages for mark in marks)


def _asks(reply: str) -> bool:
    return bool(regex.search(r"[?？]", reply)) and "(1)" in reply.replace("（", "(").replace("）", ")")


def sums(judged: Sequence[Judged]) -> dict[str, tuple[int, int]]:
    """Add up numerators and denominators; shares that nothing counts for are left out."""
    found: dict[str, tuple[int, int]] = {}
    for name in SHARES:
        parts = [each.shares[name] for each in judged if name in each.shares]
        if parts:
            found[name] = (sum(part[0] for part in parts), sum(part[1] for part in parts))
    return found


def replies(model: Any, tokenizer: Any, asked: Sequence[Row], most_tokens: int, kept: Path, tell: Tell) -> dict[str, str]:
    """Return what a model writes to each row, by id; what was written before a stop is read from the file `kept`."""
    found = _read(kept)
    left = sorted(
        (row for row in asked if row.id not in found), key=lambda row: sum(len(one["content"]) for one in row.messages)
    )
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.open("a", encoding="utf-8") as file:
        for start in range(0, len(left), BATCH):
            batch = left[start : start + BATCH]
            written = write(model, tokenizer, [row.messages[:-1] for row in batch], most_tokens)
            for row, text in zip(batch, written, strict=True):
                found[row.id] = text
                file.write(json.dumps({"id": row.id, "kind": row.kind, "reply": text}, ensure_ascii=False) + "\n")
            file.flush()
            tell(f"{kept.stem}: {len(found)} of {len(asked)} questions answered")
    return found


def _read(kept: Path) -> dict[str, str]:
    """Read replies of an earlier start; a line that a kill cut off is taken away."""
    if not kept.is_file():
        return {}
    found, whole = {}, []
    for line in kept.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            said = json.loads(line)
            found[str(said["id"])] = str(said["reply"])
            whole.append(line)
        except (ValueError, KeyError, TypeError):
            break
    kept.write_text("".join(f"{line}\n" for line in whole), encoding="utf-8")
    return found


def write(
    model: Any, tokenizer: Any, requests: Sequence[Sequence[Mapping[str, str]]], most_tokens: int, temperature: float = 0.0
) -> list[str]:
    """Return the likeliest answer to each request, rendered as for serving; above a temperature of 0 one that is drawn."""
    import torch

    rendered = [chat_template.ids(tokenizer, messages, to_answer=True) for messages in requests]
    longest = max(map(len, rendered))
    filled = [[tokenizer.pad_token_id] * (longest - len(ids)) + ids for ids in rendered]  # on the left: answers go on right
    seen = [[0] * (longest - len(ids)) + [1] * len(ids) for ids in rendered]
    with torch.inference_mode():
        ids = model.generate(
            input_ids=torch.tensor(filled),
            attention_mask=torch.tensor(seen),
            max_new_tokens=most_tokens,
            **({"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}),
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    return [
        tokenizer.decode(row[longest:], skip_special_tokens=True, clean_up_tokenization_spaces=False).strip() for row in ids
    ]
