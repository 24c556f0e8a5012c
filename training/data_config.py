"""What a data set is built from and how: a YAML file, read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

import yaml

from agri_llm.errors import BadInput
from training.rows import Kind, identity

SORTS = ("sheets", "documents", "chat", "alpaca", "sharegpt", "csv", "grounded", "corrections")
_HERE = "see training/configs/data.yaml"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where rows come from. `sort` says how to read it, `path` where it is (none for the shipped sheets).

    `weight` is how often each of its rows for training stands in the data set: 0.5 keeps every second one, 2 repeats each.
    `group_by` is the name in a row whose value keeps rows on one side of the split; their question when empty.
    """

    name: str
    sort: str
    path: str = ""
    weight: float = 1.0
    language: str = ""
    licence: str = ""
    group_by: str = ""
    pretraining: bool = False
    written: int = 0  # questions for each passage that a model on a server writes, where one is given


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """One data set; see training/configs/data.yaml for what each setting does."""

    sources: tuple[Source, ...]
    seed: int = 0
    languages: tuple[str, ...] = ("en", "zh")
    validation: float = 0.05
    test: float = 0.05
    fewest_words: float = 1.0
    longest_words: float = 1600.0
    near_duplicate: float = 0.85
    quality: float = 0.3
    evaluation: tuple[str, ...] = ("shipped",)
    leave_out_overlaps: bool = False
    most_of_a_kind: Mapping[str, int] = field(default_factory=dict)

    def hash(self) -> str:
        """Name these settings."""
        return identity(repr(sorted(asdict(self).items(), key=lambda each: each[0])))


def read(path: Path, data: Path | None = None) -> DataConfig:
    """Read a configuration; "{data}" in its paths stands for the folder `data`. Raises BadInput for what cannot be used."""
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path} is not YAML", str(error).splitlines()[0], "correct the file") from error
    if not isinstance(said, dict) or not isinstance(said.get("sources"), list) or not said["sources"]:
        raise BadInput(f"{path} names no sources", "there is nothing to build from", _HERE)
    sources = tuple(_source(path, each, data) for each in said["sources"])
    names = [source.name for source in sources]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadInput(f"{path} has two sources named {twice[0]!r}", "their rows could not be told apart", "rename one")
    values = {name: _value(path, name, value) for name, value in _known(path, said, DataConfig).items() if name != "sources"}
    if "evaluation" in values:
        values["evaluation"] = tuple(_placed(path, each, data) for each in values["evaluation"])
    config = DataConfig(sources=sources, **values)
    if not (0 < config.validation < 1 and 0 < config.test < 1 and config.validation + config.test < 1):
        raise BadInput(
            f"{path} sets validation to {config.validation:g} and test to {config.test:g}",
            "both must be above 0 and leave rows for training",
            "write shares like 0.05",
        )
    if unknown := sorted(set(config.most_of_a_kind) - set(get_args(Kind))):
        raise BadInput(f"{path} limits {unknown[0]!r}", "no row is of this kind", f"the kinds are {', '.join(get_args(Kind))}")
    return config


def _source(path: Path, said: object, data: Path | None) -> Source:
    if not isinstance(said, dict):
        raise BadInput(f"{path} has a source that is {said!r}", "a source has a name and a sort", _HERE)
    values = {name: _value(path, name, value) for name, value in _known(path, said, Source).items()}
    for needed in ("name", "sort"):
        if not values.get(needed):
            raise BadInput(f"{path} has a source without {needed!r}", "it cannot be read", _HERE)
    source = Source(**{**values, "path": _placed(path, values.get("path", ""), data)})
    if source.sort not in SORTS:
        raise BadInput(f"{path} has a source of sort {source.sort!r}", "nothing reads that", f"known are {', '.join(SORTS)}")
    if not source.path and source.sort not in ("sheets", "corrections"):
        raise BadInput(
            f"the source {source.name!r} in {path} has no path", "there is nothing to read", "add its file or folder"
        )
    if source.weight < 0:
        raise BadInput(f"the source {source.name!r} has the weight {source.weight:g}", "it must be 0 or more", "correct it")
    return source


def _placed(path: Path, place: str, data: Path | None) -> str:
    if "{data}" in place and data is None:
        raise BadInput(f"{path} reads {place}", "nobody said which folder {data} is", "give --data FOLDER")
    return place.replace("{data}", str(data))


def _known(path: Path, said: Mapping[str, Any], kind: type) -> dict[str, Any]:
    names = {each.name for each in fields(kind)}
    unknown = sorted(set(map(str, said)) - names)
    if unknown:
        raise BadInput(
            f"{path} sets {unknown[0]!r}",
            "no setting has this name, so it would change nothing",
            f"known are {', '.join(sorted(names))}",
        )
    return {name: value for name, value in said.items() if value is not None}


def _value(path: Path, name: str, value: object) -> Any:
    kinds = {each.name: str(each.type) for each in (*fields(DataConfig), *fields(Source))}
    kind = kinds[name]
    right = {
        "str": isinstance(value, str),
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
        "tuple[str, ...]": isinstance(value, list) and all(isinstance(each, str) for each in value),
        "Mapping[str, int]": isinstance(value, dict) and all(type(each) is int for each in value.values()),
    }
    if not right.get(kind, True):
        said = {"tuple[str, ...]": "a list of words", "Mapping[str, int]": "names with numbers"}.get(kind, kind)
        raise BadInput(f"{path} sets {name} to {value!r}", f"it must be {said}", "correct that line")
    return tuple(value) if isinstance(value, list) and name != "sources" else value


def described(config: DataConfig) -> str:
    """Return all settings on one line."""
    settings = ", ".join(f"{name}={value}" for name, value in asdict(config).items() if name != "sources")
    return f"{settings}, sources={', '.join(f'{one.name} ({one.sort})' for one in config.sources)}"
