"""What goes wrong while a model is loaded or writes, as sentences for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from safetensors import SafetensorError

from agri_llm.errors import ModelError, ModelMissing, ModelUnavailable


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Turn the libraries' own errors while loading `what` into a sentence; the beginning of theirs stays in it."""
    try:
        yield
    except ImportError as error:
        raise ModelMissing(
            f"{what} cannot be loaded in 4-bit",
            f"a library is missing ({said(error)})",
            "install agri[gpu], or set AGRI_FOUR_BIT=false",
        ) from error
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, MemoryError, SafetensorError) as error:
        if is_memory(error):
            raise short_of_memory(what, error) from error
        raise ModelMissing(
            f"{what} cannot be loaded", said(error), "check AGRI_MODEL and AGRI_ADAPTER, and that the files are complete"
        ) from error


def failure(name: str, error: BaseException) -> ModelError:
    """Return the sentence for an error in the middle of writing."""
    if is_memory(error):
        return short_of_memory(f"the model {name!r}", error)
    return ModelUnavailable(
        f"the model {name!r} failed while writing",
        f"{type(error).__name__}: {said(error)}",
        "ask again; if it happens every time, choose another instruct model in AGRI_MODEL",
    )


def is_memory(error: BaseException) -> bool:
    """Tell whether memory ran out, on the GPU or on the processor (where torch raises a plain RuntimeError)."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def short_of_memory(what: str, error: BaseException) -> ModelUnavailable:
    return ModelUnavailable(
        f"{what} does not fit into memory",
        said(error),
        "choose a smaller model in AGRI_MODEL, set AGRI_FOUR_BIT=true on a GPU, or use a model server (AGRI_WRITER=endpoint)",
    )


def said(error: BaseException) -> str:
    """Return a library's message on one line, its first 200 characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200].rstrip(".")
