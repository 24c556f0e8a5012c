"""What a chain depends on: a folder with chain.yaml, pretrain.yaml, at least one sft*.yaml, and data.yaml for the rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from agri_llm.errors import BadInput
from training.rows import KINDS

CHAIN, PRETRAIN, DATA = "chain.yaml", "pretrain.yaml", "data.yaml"


@dataclass(frozen=True, kw_only=True)
class ChainConfig:
    """Sizes of the decoder and shares of the texts; see training/configs/tiny/chain.yaml for what each setting does."""

    seed: int = 0
    vocabulary: int = 8192
    context: int = 768  # tokens; the longest row that is learned from and asked
    positions: int = 0  # tokens that the decoder can be given at all; 0 is twice the context, room for an answer
    layers: int = 6
    hidden: int = 256
    intermediate: int = 512
    heads: int = 4
    held_out: float = 0.03
    shortest_characters: int = 200
    most_characters: int = 1_500_000  # of one file
    said_again: float = 0.25
    sheets_read: int = 1  # times
    quality: float = 0.3
    half: bool = True  # compute in bfloat16
    kinds: tuple[str, ...] = ("grounded", "followup", "refusal", "clarification")
    most_rows: int = 0  # to learn from; 0 takes all that fit
    questions: int = 150  # of each kind that are asked at the end; 0 asks all
    answer_tokens: int = 200
    threads: int = 0  # processor cores; 0 leaves it to torch


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A folder of configurations with where to read and write; `data` is a data set that is there already, or None."""

    folder: Path
    config: ChainConfig
    out: Path
    texts: tuple[Path, ...] = ()
    data: Path | None = None

    @property
    def tunings(self) -> list[Path]:
        """The configurations of instruction tuning, each a training of its own on the same decoder."""
        return sorted(self.folder.glob("sft*.yaml"))


def read(folder: Path, out: Path | None = None, texts: tuple[Path, ...] = (), data: Path | None = None) -> Chain:
    """Read a folder of configurations. Raises BadInput naming what is missing or cannot be used."""
    needed = [CHAIN, PRETRAIN, *([] if data else [DATA])]
    if missing := [name for name in needed if not (folder / name).is_file()]:
        raise BadInput(f"{folder} has no {missing[0]}", "a step of the chain has no settings", "see training/configs/tiny")
    found = Chain(folder=folder, config=_config(folder / CHAIN), out=out or Path("runs") / folder.name, texts=texts, data=data)
    if not found.tunings:
        raise BadInput(f"{folder} has no sft.yaml", "nothing would be taught", "see training/configs/tiny/sft.yaml")
    if lost := [path for path in (*texts, *([data] if data else [])) if not path.exists()]:
        raise BadInput(f"{lost[0]} is not there", "it cannot be read", "correct the path, or leave it out")
    return found


def _config(path: Path) -> ChainConfig:
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path} is not YAML", str(error).splitlines()[0], "correct the file") from error
    if not isinstance(said, dict):
        raise BadInput(f"{path} holds no settings", "a line needs a name, a colon and a value", "correct the file")
    known = {each.name: each for each in fields(ChainConfig)}
    values: dict[str, Any] = {}
    for name, value in said.items():
        if name not in known:
            raise BadInput(
                f"{path} sets {name!r}", "no setting has this name, so it would change nothing", f"known are {', '.join(known)}"
            )
        values[name] = _value(path, name, value, str(known[name].type))
    found = ChainConfig(**values)
    _check(path, found)
    return found


def _value(path: Path, name: str, value: object, kind: str) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    right = {
        "int": isinstance(value, int) and number,
        "float": number,
        "bool": isinstance(value, bool),
        "tuple[str, ...]": isinstance(value, list) and all(isinstance(each, str) for each in value),
    }[kind]
    if not right:
        said = "a list of words" if kind.startswith("tuple") else {"int": "a whole number", "float": "a number"}.get(kind, kind)
        raise BadInput(f"{path} sets {name} to {value!r}", f"it must be {said}", "correct that line")
    return tuple(value) if isinstance(value, list) else value


def _check(path: Path, found: ChainConfig) -> None:
    wrong = ""
    if not 0 < found.held_out < 1:
        wrong = f"held_out to {found.held_out:g}, and it is a share like 0.03"
    elif not 0 <= found.said_again <= 1:
        wrong = f"said_again to {found.said_again:g}, and it is a share like 0.25"
    elif found.vocabulary < 300:
        wrong = f"vocabulary to {found.vocabulary}, and 256 bytes and three marks need more"
    elif min(found.layers, found.hidden, found.intermediate, found.heads, found.context, found.answer_tokens) < 1:
        wrong = "a size below 1"
    elif found.sheets_read < 1:
        wrong = f"sheets_read to {found.sheets_read}, and the sheets are read at least once"
    elif found.positions and found.positions < found.context:
        wrong = f"positions to {found.positions}, and rows of {found.context} tokens are learned from"
    elif found.hidden % (2 * found.heads) or found.hidden % 64 or found.intermediate % 64:
        # bitsandbytes packs four-bit weights in blocks of 64; heads are turned in pairs of numbers (rotary positions)
        wrong = "hidden or intermediate to no multiple of 64, or heads that do not divide hidden into even parts"
    elif unknown := sorted(set(found.kinds) - set(KINDS) | {kind for kind in found.kinds if kind == "pretraining"}):
        wrong = f"kinds with {unknown[0]!r}, and nobody answers in it"
    if wrong:
        raise BadInput(f"{path} sets {wrong}", "the chain would fail in the middle", "correct that line")


def described(found: Chain) -> str:
    """Return all settings on one line."""
    said = ", ".join(f"{name}={value}" for name, value in asdict(found.config).items())
    return f"{said}, out={found.out}, texts={', '.join(map(str, found.texts)) or 'none'}, data={found.data or 'built here'}"
