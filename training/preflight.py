"""What must hold before the first step: seconds now, instead of days of training that teach the wrong thing.

Each check returns one line of findings or raises BadInput. `of_data` needs no weights, `of_trainer` (in `rehearsal.py`) does.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

from agri_llm.errors import BadInput
from agri_llm.language import chat_template, contract
from agri_llm.prompts import PROMPT_HASH
from training import chats
from training.configuration import Training
from training.rows import MANIFEST, file_hash
from training.tokens import Tokens


def of_data(training: Training, found: Tokens, tokenizer: Any, serving: Any, stops: list[int]) -> list[str]:
    """Check rows, split, template, mask and provenance; returns a line for each finding."""
    lines = [check_manifest(Path(training.ours.data), unchecked=training.ours.unchecked_data), check_rows(training, found)]
    if training.kind == "sft":
        lines += [check_template(found, tokenizer, serving), check_mask(found, tokenizer, stops)]
    lines.append(check_begin(found, tokenizer))
    return lines


def check_manifest(folder: Path, *, unchecked: bool) -> str:
    """The files are those that were checked, none holds a question of an evaluation, and the prompts are ours of today."""
    try:
        said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if unchecked:
            return "data: no manifest, and unchecked_data allows that"
        raise BadInput(
            f"{folder} has no {MANIFEST}",
            "nothing shows that evaluation questions are not in it, or that its building was finished",
            "build it with `agri data build`, or set unchecked_data: true",
        ) from error
    except (OSError, ValueError) as error:
        raise BadInput(f"{folder / MANIFEST} cannot be read", str(error), "build the data again") from error
    for name, expected in dict(said.get("files", {})).items():
        if name.endswith(".jsonl") and (not (folder / name).is_file() or file_hash(folder / name) != expected):
            raise BadInput(
                f"{folder / name} is not the file of the manifest", "it was changed after it was checked", "build again"
            )
    checked = said.get("contamination_checked") is True
    if not checked and not unchecked:
        raise BadInput(
            f"{folder} was not compared with the evaluation files",
            "a model that has seen the questions scores well and knows nothing",
            "build it with `agri data build`, or set unchecked_data: true",
        )
    if said.get("prompt_hash") not in (None, PROMPT_HASH):
        raise BadInput(
            f"{folder} was made with other prompts than ours of today", "answering would use other words", "build again"
        )
    compared = "with the evaluation files" if checked else "with no evaluation file, as unchecked_data allows"
    return f"data: unchanged since it was built, compared {compared}"


def check_rows(training: Training, found: Tokens) -> str:
    """There is something to learn from and to compare with, few rows are lost, and no group stands on both sides."""
    counts = {split: len(rows) for split, rows in found.rows.items()}
    example = next(iter(found.rejected.items()), ("", ""))
    lost = f"{len(found.rejected)} rows left out ({found.lost:.1%})" + (
        f", such as {example[0]}: {example[1]}" if example[0] else ""
    )
    if found.lost > training.ours.most_lost:
        raise BadInput(lost, f"more than most_lost {training.ours.most_lost:.1%} would be lost in silence", _remedy(found))
    if counts["train"] < 2:
        other = "pretrain" if training.kind == "sft" else "sft"
        raise BadInput(
            f"{training.ours.data} has {counts['train'] or 'no'} row{'s' * (counts['train'] != 1)} to learn from",
            "a model learns nothing from so little, or only that row",
            "build more data" + (f", or use `agri train {other}`, which learns from its other rows" if found.others else ""),
        )
    if training.args.eval_strategy != "no" and not counts.get("validation"):
        raise BadInput(
            f"{training.ours.data} has no rows in validation.jsonl",
            "nothing could tell what the training brings",
            "build the data with a validation split, or set eval_strategy: no",
        )
    if both := sorted(found.groups["train"] & found.groups["validation"]):
        raise BadInput(
            f"{len(both)} groups such as {both[0]!r} stand in train and in validation",
            "the held-out loss would measure memory",
            "split by group with `agri data build`",
        )
    others = f", {found.others:,} are for another kind of training" if found.others else ""
    return (
        f"rows: {counts['train']:,} to learn from, {counts.get('validation', 0):,} held out, {lost}{others};"
        f" longest {found.longest:,} tokens of {training.args.max_length:,}"
    )


def _remedy(found: Tokens) -> str:
    if any("max_length" in why for why in found.rejected.values()):
        return f"set max_length up to {found.longest}, shorten the passages, or raise most_lost"
    return "correct these rows, or raise most_lost"


def check_template(found: Tokens, tokenizer: Any, serving: Any) -> str:
    """Training renders conversations to the token ids that answering renders them to."""
    ours, theirs = contract.rendered_hash(tokenizer), contract.rendered_hash(serving)
    if ours != theirs:
        raise BadInput(
            f"training renders the fixed conversations to other tokens ({ours[:12]}) than answering ({theirs[:12]})",
            "the model would answer on text of a form that it never saw",
            "train with the tokenizer of the model",
        )
    for row, encoded in found.sample:
        last = next(at for at in reversed(range(len(row["messages"]))) if row["messages"][at]["role"] == "assistant")
        asked = chat_template.ids(serving, row["messages"][:last], to_answer=True)
        if encoded.ids[: len(asked)] != asked:
            raise BadInput(
                f"row {row.get('id')!r} has other tokens than the same request when answering",
                "the model would answer on text of a form that it never saw",
                "train with the tokenizer of the model",
            )
    return f"template: as when answering, rendered ids {ours[:12]}"


def check_mask(found: Tokens, tokenizer: Any, stops: list[int]) -> str:
    """What is learned, decoded, is what the assistant says in each row, and its end token; nothing else is."""
    for row, encoded in found.sample:
        said = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
        learned = chats.spans(encoded.labels)
        texts = [tokenizer.decode(span[:-1], skip_special_tokens=False) for span in learned]
        pairs = itertools.zip_longest(texts, said, fillvalue="")
        wrong = [(text, words) for text, words in pairs if text.strip() != words.strip()]
        if wrong:
            raise BadInput(
                f"of row {row.get('id')!r} the model would learn {wrong[0][0]!r}, and the assistant says {wrong[0][1]!r}",
                "it would learn to write something else",
                "correct the chat template of the model",
            )
        if any(span[-1] not in stops for span in learned):
            raise BadInput(f"row {row.get('id')!r} does not end in an end token", "it would never stop", "choose a chat model")
    share = found.trained / max(1, found.total)
    return f"mask: {found.trained:,} of {found.total:,} tokens are learned ({share:.0%}), decoded and compared"


def check_begin(found: Tokens, tokenizer: Any) -> str:
    """No row begins with the token that begins a text twice."""
    begin = tokenizer.bos_token_id
    for row, encoded in found.sample:
        if begin is not None and encoded.ids[:2] == [begin, begin]:
            raise BadInput(
                f"row {row.get('id')!r} begins with {tokenizer.bos_token!r} twice",
                "answering begins with it once, and the model would miss it",
                "take it out of the text or of the chat template",
            )
    return "begin: never doubled"
