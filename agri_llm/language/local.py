"""A language model on this machine: any transformers model, with or without a PEFT adapter, in 4-bit where there is a GPU."""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, GenerationConfig, TextIteratorStreamer

from agri_llm.errors import AgriError, ModelMissing, RequestTooLong
from agri_llm.judgements import adapter_name
from agri_llm.language import chat_template, contract, loading
from agri_llm.language.adapters import Weights
from agri_llm.language.brief import Brief
from agri_llm.records import Message

PICKLES = (".bin", ".pt", ".pth", ".ckpt")  # formats that can run code while they are read


def nf4_config() -> BitsAndBytesConfig:
    """Return how we store a model in 4 bits: NF4 with double quantisation, computing in bfloat16 (QLoRA, arXiv 2305.14314).

    bfloat16 storage is what sharded training needs; it holds the same bits as the library's default.
    """
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_quant_storage=torch.bfloat16,
    )


class LocalModel:
    """Writes answers with a model on this machine, one answer at a time; whoever asks meanwhile waits in line.

    `path` is a folder or a name on the model hub, `adapter` a folder saved by PEFT; both as safetensors only. `temperature` 0
    writes the likeliest words every time. Raises ModelMissing where model or adapter cannot be loaded, ModelUnavailable
    where memory is short.
    """

    def __init__(
        self, path: str, adapter: str | None = None, *, four_bit: bool = True, max_new_tokens: int, temperature: float
    ) -> None:
        path, adapter = _at_home(path), _at_home(adapter or "")
        self.name = Path(path).name or path
        self.adapter = adapter_name(adapter) if adapter else None
        self._path = path
        self._tokenizer, base = _load_model(path, four_bit=four_bit)
        self._weights, self._key = Weights(base, self.name), ""
        self._parameters = int(self._model.num_parameters())
        self._max_new_tokens = max_new_tokens
        self._context: int | None = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        named = self._model.generation_config
        self._model.generation_config = _generation_config(self._tokenizer, self._model, temperature)
        self._stops = chat_template.stop_ids(self._tokenizer, named)
        if adapter:
            contract.check(Path(adapter), path, self._tokenizer, self._stops)
            self._key = self._weights.add(adapter)
        self._model.eval()
        self._line = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")  # one worker: answers wait in order

    @property
    def _model(self) -> Any:
        """The model with every adapter that is loaded; `self._weights.using` says which one writes."""
        return self._weights.model

    def with_adapter(self, adapter: str | None) -> LocalModel:
        """Return a writer with another adapter, or none, on the same base in memory; what is being written goes on undisturbed.

        Loading waits for its turn among the answers. An adapter is given up when its last writer is. Raises ModelMissing.
        """
        other = copy.copy(self)
        place = _at_home(adapter or "")
        other.adapter, other._key = adapter_name(place) if place else None, ""
        if place:
            contract.check(Path(place), self._path, self._tokenizer, self._stops)
            other._key = self._line.submit(self._weights.add, place).result()
            weakref.finalize(other, self._line.submit, self._weights.remove, other._key).atexit = False
        return other

    def limit(self, max_new_tokens: int) -> None:
        """Let this writer write so many tokens at most."""
        self._max_new_tokens = max_new_tokens

    def describe(self) -> dict[str, str | int | bool | None]:
        """Return one line for the doctor: what is loaded, how large, in which numbers and where."""
        return {
            "model": self.name,
            "adapter": self.adapter,
            "parameters": self._parameters,
            "dtype": str(self._model.dtype).removeprefix("torch."),
            "device": str(self._model.device),
            "four_bit": bool(getattr(self._model, "is_loaded_in_4bit", False)),
        }

    def stream(self, brief: Brief) -> Generator[str, None, None]:
        """Yield the answer word by word; closing the generator stops the model after its present word.

        Raises ModelUnavailable where the request does not fit the model, or the model fails while writing.
        """
        stop = threading.Event()
        streamer = TextIteratorStreamer(
            self._tokenizer, skip_prompt=True, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        writing = self._line.submit(self._write, brief.messages, streamer, stop)
        try:
            yield from (piece for piece in streamer if piece)
            error = writing.exception()
            if isinstance(error, AgriError):
                raise error
            if error is not None:
                raise loading.failure(self.name, error) from error
        finally:
            stop.set()
            writing.cancel()

    def log_likelihood(self, messages: Sequence[Message], text: str) -> float:
        """Return the natural logarithm of the probability that the model writes `text` as its whole reply to a chat.

        The tokens of the text alone count, not the end of the reply. Raises ModelUnavailable where both do not fit the model.
        """
        return self._line.submit(self._weigh, tuple(messages), text).result()

    def _weigh(self, messages: tuple[Message, ...], text: str) -> float:
        prompt = self._prompt(messages)["input_ids"].to(self._model.device)
        said = self._tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"].to(self._model.device)
        self._room(prompt.shape[1] + said.shape[1] - 1)  # the last token is not read, only expected
        with torch.inference_mode(), self._weights.using(self._key):
            logits = self._model(input_ids=torch.cat([prompt, said], dim=1)).logits[0, prompt.shape[1] - 1 : -1].float()
        return float(torch.log_softmax(logits, dim=-1).gather(1, said[0, :, None]).sum())  # (tokens of the text, 1)

    def _write(self, messages: tuple[Message, ...], streamer: Any, stop: threading.Event) -> None:
        """Let the model write into `streamer`, in the writer thread, until it is done or `stop` is set."""

        def stopped(tokens: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
            return torch.full((tokens.shape[0],), stop.is_set(), dtype=torch.bool, device=tokens.device)

        try:
            prompt = self._prompt(messages)
            with self._weights.using(self._key):
                self._model.generate(
                    **prompt.to(self._model.device),
                    streamer=streamer,
                    stopping_criteria=[stopped],
                    max_new_tokens=self._room(prompt["input_ids"].shape[1]),
                )
        finally:
            streamer.text_queue.put(streamer.stop_signal)  # after a failure too, or the reader would wait for ever

    def _prompt(self, messages: tuple[Message, ...]) -> Any:
        """Return the chat as token ids, shape (1, tokens); control tokens in questions or passages are plain text."""
        return chat_template.conversation(self._tokenizer, messages, to_answer=True, return_tensors="pt")

    def _room(self, prompt_tokens: int) -> int:
        """Return how many tokens may still be written after a prompt of that length."""
        if self._context is None:
            return self._max_new_tokens
        if prompt_tokens >= self._context:
            raise RequestTooLong(
                f"the request has {prompt_tokens} tokens and the model {self.name!r} reads at most {self._context}",
                "it cannot see all the passages, so it cannot answer",
                "ask a shorter question, or choose a model with a longer context in AGRI_MODEL",
            )
        return min(self._max_new_tokens, self._context - prompt_tokens)


def _at_home(path: str) -> str:
    """Return the path with a leading ~ written out, as a shell would; hub names stay as they are."""
    return str(Path(path).expanduser()) if path.startswith("~") else path


def _load_model(path: str, *, four_bit: bool) -> tuple[Any, Any]:
    """Return tokenizer and model of a folder or a hub name, checked: a chat model, safetensors, every weight present."""
    _check_folder(path)
    with loading.loading(f"the model {path!r}"):
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    if not tokenizer.chat_template:
        raise ModelMissing(
            f"the model {path!r} has no chat template",
            "it was never taught to answer a request, so its text would be noise",
            "choose an instruct or chat model in AGRI_MODEL",
        )
    if not tokenizer("leaf")["input_ids"]:  # without its file, transformers makes an empty tokenizer and says nothing
        raise ModelMissing(f"the model {path!r} has no vocabulary", "it cannot read", "download or export the model again")
    with loading.loading(f"the model {path!r}"):
        model, report = AutoModelForCausalLM.from_pretrained(
            path,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused here, by name
            **_placement(four_bit=four_bit),
        )
    wrong = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if wrong:
        raise ModelMissing(
            f"the model {path!r} lacks {len(wrong)} of its weights or has them in another shape, such as {wrong[0]!r}",
            "they would be random numbers",
            "download or export the model again",
        )
    return tokenizer, model


def _placement(*, four_bit: bool) -> dict[str, Any]:
    """Return where the weights go and in which numbers: the GPU in 4-bit or bfloat16, else the processor in float32."""
    if not torch.cuda.is_available():
        return {"dtype": torch.float32}  # plain and exact; bfloat16 is slow on many processors
    placement: dict[str, Any] = {"dtype": torch.bfloat16, "device_map": "auto"}
    if four_bit:
        placement["quantization_config"] = nf4_config()
    return placement


def _generation_config(tokenizer: Any, model: Any, temperature: float) -> GenerationConfig:
    """Return how the model picks words; nothing but the stop tokens is taken over from the checkpoint."""
    stops = chat_template.stop_ids(tokenizer, model.generation_config)
    config = GenerationConfig(eos_token_id=stops or None, pad_token_id=tokenizer.pad_token_id)
    if config.pad_token_id is None and stops:
        config.pad_token_id = min(stops)  # nothing is padded for one answer; it keeps transformers quiet
    config.do_sample = temperature > 0
    if temperature > 0:
        config.temperature = temperature
    return config


def _check_folder(path: str) -> None:
    """Raise ModelMissing for a path that is not there, and for a folder whose weights are only in formats that run code."""
    folder = Path(path)
    if not folder.exists():
        if folder.is_absolute() or path.startswith(".") or len(folder.parts) != 2:  # a hub name is "owner/model"
            raise ModelMissing(
                f"there is no model at {path!r}",
                "nothing can be loaded from there",
                "check AGRI_MODEL: a folder, or a name on the model hub such as 'Qwen/Qwen2.5-7B-Instruct'",
            )
        return
    names = [file.name for file in folder.iterdir()] if folder.is_dir() else [folder.name]
    if any(name.endswith(".safetensors") for name in names):
        return
    pickles = sorted(name for name in names if name.endswith(PICKLES))
    raise ModelMissing(
        f"the model {path!r} has no .safetensors file" + (f", only {pickles[0]!r}" if pickles else ""),
        "other formats can run code while they are read, so we do not read them" if pickles else "there are no weights to load",
        "choose a model folder with safetensors weights in AGRI_MODEL",
    )
