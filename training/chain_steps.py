"""What each step of a chain does in its folder: data, texts, tokenizer, decoder, 5-gram model, rows, tunings, figures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch

from agri_llm.errors import BadInput
from agri_llm.language import chat_template
from training import (
    adapt,
    chain_answers,
    chain_figures,
    chain_texts,
    chats,
    configuration,
    dataset,
    finished,
    from_scratch,
    marked_steps,
    rows,
    run_files,
    tokens,
)
from training.chain_config import DATA, PRETRAIN, Chain
from training.configuration import Kind, Training
from training.ngrams import ORDER, KneserNey
from training.progress import Tell
from training.rows import Row, identity

SAMPLED = 2000  # rows whose words the tokenizer learns too: its prompts are long, and each word of theirs becomes one token


class Steps:
    """The steps of one chain, in order, each in a folder of its own below the chain's."""

    def __init__(self, chain: Chain, tell: Tell) -> None:
        self.chain, self.config, self.out, self.tell = chain, chain.config, chain.out, tell
        self.data = chain.data or self.out / "1-data"

    def all(self) -> Iterator[tuple[str, Callable[[Path], dict[str, Any]]]]:
        """Yield each step's name and what does it."""
        yield "1-data", self.build_data
        yield "2-texts", lambda out: chain_texts.write(self.chain, self.data, out, self.tell)
        yield "3-tokenizer", self.make_tokenizer
        yield "4-decoder", self.pretrain
        yield "5-ngrams", self.compare
        yield "6-rows", self.choose_rows
        for path in self.chain.tunings:
            yield self._name(path), partial(self.tune, path)
        yield "8-figures", self.ask

    def depends_on(self, name: str) -> list[str]:
        """Return what, beside the steps before it, decides what a step does."""
        chain, config = self.chain, dataclasses.asdict(self.config)
        late = {"6-rows": ("kinds", "most_rows"), "8-figures": ("questions", "answer_tokens")}
        if name in late:
            return [repr(config[each]) for each in late[name]]
        if name == "1-data":
            return [str(chain.data) if chain.data else (chain.folder / DATA).read_text(encoding="utf-8")]
        if name == "2-texts":
            unneeded = {"threads", *(each for names in late.values() for each in names)}
            return [*map(str, chain.texts), repr({each: value for each, value in config.items() if each not in unneeded})]
        own = {"4-decoder": chain.folder / PRETRAIN, **{self._name(path): path for path in chain.tunings}}
        return [own[name].read_text(encoding="utf-8")] if name in own else []

    def _name(self, tuning: Path) -> str:
        return f"7{'abcdefgh'[self.chain.tunings.index(tuning)]}-{tuning.stem}"

    def build_data(self, out: Path) -> dict[str, Any]:
        """Rows to learn from: those of `agri data build`, or the data set that was given."""
        if self.chain.data is None:
            from training import data_config

            dataset.Build(config=data_config.read(self.chain.folder / DATA), out=out, tell=self.tell).run()
        said = dataset.manifest_of(self.data)
        return {"rows": said["rows"]}

    def make_tokenizer(self, out: Path) -> dict[str, Any]:
        """Byte-level BPE from the texts and some of the rows, all of the training side."""
        self.tell("3-tokenizer: learning which bytes belong together")
        tokenizer = from_scratch.make_tokenizer(self._words(), self.config, out)
        held_out = _texts(self.out / "2-texts" / "validation.jsonl")
        tokens = sum(len(tokenizer(text)["input_ids"]) for text in held_out)
        size = sum(len(text.encode()) for text in held_out)
        return {"tokens": len(tokenizer), "bytes a token of held-out text": round(size / max(1, tokens), 3)}

    def _words(self) -> Iterator[str]:
        for row in rows.read(self.out / "2-texts" / "train.jsonl"):
            if not row.id.endswith(chain_texts.AGAIN):
                yield row.text
        chats_of = [row for row in rows.read(self.data / "train.jsonl") if row.messages]
        for row in Random(self.config.seed).sample(chats_of, min(SAMPLED, len(chats_of))):
            yield from (message["content"] for message in row.messages)

    def pretrain(self, out: Path) -> dict[str, Any]:
        """A decoder of random numbers reads the texts."""
        start = out / "start"
        number = from_scratch.make_decoder(self._tokenizer(), self.config, start)
        self.tell(f"4-decoder: {number:,} parameters")
        training = self._training(self.chain.folder / PRETRAIN, "pretrain", start, self.out / "2-texts", out / "run")
        said = self._trained(training)
        return {"parameters": number, **said}

    def compare(self, out: Path) -> dict[str, Any]:
        """The decoder and a 5-gram model on the same tokens of the same held-out text."""
        tokenizer = self._tokenizer()
        learned = [
            tokens.document(tokenizer, row.text)
            for row in rows.read(self.out / "2-texts" / "train.jsonl")
            if not row.id.endswith(chain_texts.AGAIN)  # the same again would only spoil its counts
        ]
        texts = _texts(self.out / "2-texts" / "validation.jsonl")
        held_out = [tokens.document(tokenizer, text) for text in texts]
        size = sum(len(tokenizer.decode(ids[1:-1]).encode()) for ids in held_out)  # what is predicted, without the end mark
        self.tell(f"5-ngrams: counting {sum(map(len, learned)):,} tokens")
        grams = KneserNey(learned, len(tokenizer), ORDER)
        total = -sum(float(found[1:].sum()) for found in grams.log_probabilities(held_out))
        self.tell(f"5-ngrams: the decoder reads {sum(map(len, held_out)):,} held-out tokens")
        decoder = chain_figures.bits_per_byte(self._base(), held_out, self.config.context, size)
        return {
            "decoder": decoder,
            "5-gram": total / float(torch.log(torch.tensor(2.0))) / size,
            "tokens": sum(len(ids) - 1 for ids in held_out),
            "bytes": size,
            "learned tokens": sum(map(len, learned)),
        }

    def choose_rows(self, out: Path) -> dict[str, Any]:
        """The rows that fit into the context, of the kinds that the chain teaches."""
        tokenizer = self._tokenizer()
        stops = chat_template.stop_ids(tokenizer, None)
        counts: dict[str, Any] = {}
        for split in rows.SPLITS:
            found = [row for row in rows.read(self.data / f"{split}.jsonl") if row.kind in self.config.kinds]
            fit = [row for row in found if len(chats.encode(tokenizer, row.messages, stops).ids) <= self.config.context]
            if self.config.most_rows and split != "test":
                fit = fit[: self.config.most_rows if split == "train" else max(1, self.config.most_rows // 4)]
            self.tell(f"6-rows: {len(fit)} of {len(found)} {split} rows")
            rows.write(out / f"{split}.jsonl", fit)
            counts[split] = {"fit": len(fit), "of": len(found)}
        if not all(counts[split]["fit"] for split in rows.SPLITS):
            raise BadInput(
                f"rows that fit into {self.config.context} tokens: {counts}", "nothing to teach or to ask", "raise context"
            )
        chain_texts.write_manifest(out, [f"{split}.jsonl" for split in rows.SPLITS])
        return counts

    def tune(self, path: Path, out: Path) -> dict[str, Any]:
        """The decoder learns to answer; the rows are those of data sets, the trainer that of `agri train sft`."""
        base = self.out / "4-decoder" / "run" / "model"
        return self._trained(self._training(path, "sft", base, self.out / "6-rows", out / "run"))

    def ask(self, out: Path) -> dict[str, Any]:
        """Held-out losses, answers and refusals of the decoder before and after tuning, and the table of all."""
        tokenizer = self._tokenizer()
        stops = chat_template.stop_ids(tokenizer, None)
        test = list(rows.read(self.out / "6-rows" / "test.jsonl"))
        asked = _some(test, self.config.questions)
        losses: dict[str, float] = {}
        shares: dict[str, dict[str, tuple[int, int]]] = {}
        for name, model in self._models():
            losses[name], tokens = chain_figures.answer_loss(model, tokenizer, test, stops)
            self.tell(f"8-figures: {name} has a loss of {losses[name]:.3f} on {tokens:,} held-out tokens of answers")
            said = chain_answers.replies(
                model, tokenizer, asked, self.config.answer_tokens, out / f"answers-{name}.jsonl", self.tell
            )
            shares[name] = chain_answers.sums([chain_answers.judge(row, said[row.id]) for row in asked])
        answers = {"rows": len(test), "asked": len(asked), "loss": losses, "shares": shares}
        answers["floors"] = chain_figures.floors(losses, shares)
        return {"text": marked_steps.found_by(self.out / "5-ngrams"), "answers": answers}

    def _models(self) -> Iterator[tuple[str, Any]]:
        """Yield the untuned decoder as "base", then each tuned one as it was trained: on the base of four bits, if it was."""
        yield "base", self._base()
        base = self.out / "4-decoder" / "run" / "model"
        for path in self.chain.tunings:
            yield path.stem, finished.merged(finished.read(self.out / self._name(path) / "run", str(base)))

    def _base(self) -> Any:
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(self.out / "4-decoder" / "run" / "model", dtype=torch.float32)
        return model.eval()

    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.out / "3-tokenizer")

    def _training(self, path: Path, kind: Kind, model: Path, data: Path, out: Path) -> Training:
        flags = ["--model", str(model), "--data", str(data), "--out", str(out), "--max_length", str(self.config.context)]
        found = configuration.read(path, kind, [*flags, "--seed", str(self.config.seed)])
        if self.config.half:  # weights that learn stay in single precision; twice as fast where a processor has AVX512-BF16
            found = dataclasses.replace(found, args=dataclasses.replace(found.args, bf16=True))
        return found

    def _trained(self, training: Training) -> dict[str, Any]:
        """Train unless the run is finished; returns first, last and held-out losses."""
        if not (training.out / run_files.RUN).is_file():
            adapt.train(training, self.tell)
        said = json.loads((training.out / run_files.RUN).read_text(encoding="utf-8"))
        losses, counts = ("first_loss", "last_loss", "held_out_losses"), ("steps", "tokens_seen", "tokens_trained")
        return {name: said.get(name) for name in (*losses, *counts, "seconds_of_last_session", "rows")}


def _some(found: Sequence[Row], most: int) -> list[Row]:
    """Return rows of every kind, of each at most so many, chosen by the hash of their ids."""
    kept: list[Row] = []
    for kind in dict.fromkeys(row.kind for row in found):
        own = sorted((row for row in found if row.kind == kind), key=lambda row: identity(row.id, "asked"))
        kept += own[: most or len(own)]
    return kept


def _texts(path: Path) -> list[str]:
    return [row.text for row in rows.read(path)]
