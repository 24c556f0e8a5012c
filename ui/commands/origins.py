"""Where each setting comes from: the command line, the environment, .env or the default; secrets stay covered."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PREFIX = "AGRI_"
COVERED = "********"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting as people may see it; `origin` is "option", "environment", ".env" or "default"."""

    name: str
    value: str
    origin: str


def every_setting(given: Mapping[str, object] | None = None) -> list[Setting]:
    """List all settings with their values; `given` names those that the command line decided, by field name."""
    from ui import wiring

    chosen, written = wiring.settings(), _dotenv()
    return [
        Setting(name=_variable(field), value=_shown(getattr(chosen, field)), origin=_origin(field, given or {}, written))
        for field in type(chosen).model_fields
    ]


def changed(given: Mapping[str, object] | None = None) -> str:
    """Return one line with the settings that are not the defaults; empty when there are none."""
    told = [
        f"{setting.name}={setting.value} ({setting.origin})" for setting in every_setting(given) if setting.origin != "default"
    ]
    return ", ".join(told)


def unknown_variables() -> list[str]:
    """Return the AGRI_* names in the environment and in .env that no setting has: mostly slips of the pen."""
    from agri_llm.settings import Settings

    known = {_variable(field) for field in Settings.model_fields}
    named = {name for name in (*os.environ, *_dotenv()) if name.upper().startswith(PREFIX)}
    return sorted(name for name in named if name.upper() not in known)


def _variable(field: str) -> str:
    return PREFIX + field.upper()


def _origin(field: str, given: Mapping[str, object], written: Mapping[str, Any]) -> str:
    if field in given:
        return "option"
    if _variable(field) in {name.upper() for name in os.environ}:
        return "environment"
    return ".env" if _variable(field) in {name.upper() for name in written} else "default"


def _dotenv() -> dict[str, str | None]:
    from dotenv import dotenv_values

    return dotenv_values(".env") if Path(".env").is_file() else {}


def _shown(value: object) -> str:
    from pydantic import SecretStr

    if isinstance(value, SecretStr):
        return COVERED
    if value is None or value == "":
        return "(not set)"
    address = urlsplit(value) if isinstance(value, str) and "://" in value and "@" in value else None
    if address is not None and address.password:
        return address._replace(netloc=f"{address.username}:{COVERED}@{address.netloc.rpartition('@')[2]}").geturl()
    return str(value)
