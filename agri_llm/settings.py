"""Every setting in one class: `AGRI_*` environment variables, or a `.env` file in the working folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What a person may change without touching code; the defaults work on a laptop with no model hub and no key."""

    model_config = SettingsConfigDict(env_prefix="AGRI_", env_file=".env", extra="ignore", frozen=True)

    home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("agri", appauthor=False)),
        description="folder for the database, the index and the visitor secret",
    )
    port: int = Field(8501, ge=1, le=65535, description="port of the web page")
    database_url: SecretStr | None = Field(None, description="SQLAlchemy address; SQLite inside `home` when unset")
    index: Path | None = Field(None, description="index folder; the shipped corpus inside `home` when unset")
    index_database: SecretStr | None = Field(
        None, description="SQLAlchemy address of an index in PostgreSQL with pgvector; a folder when unset"
    )

    embedder: str = Field("", description="sentence-transformers name or path; the embedded all-MiniLM-L6-v2 when empty")
    meaning_weight: float | None = Field(
        None, ge=0, le=1, description="share of meaning against words; the measured one when unset"
    )

    reranker: str = Field(
        "", description="second look at the passages found: none, `context` (the embedder), or a cross-encoder by name or path"
    )

    photo_model: str = Field(
        "", description="transformers image classifier, CLIP or SigLIP, by name or folder; the shipped classifier when empty"
    )
    photo_labels: Path | None = Field(
        None,
        description='JSON file that says which of our labels those of the photo model are, like {"rust": "common_bean__rust"}',
    )
    photo_languages: str = Field("en", description="languages in which CLIP or SigLIP reads our labels, like en,zh")
    photo_describer: bool = Field(
        False, description="let a model on `endpoint_url` look at the photos too, which are sent there"
    )
    photo_describer_model: str = Field("", description="name of that model on the server; AGRI_MODEL when empty")

    writer: Literal["composer", "local", "endpoint"] = Field("composer", description="who writes the answers")
    model: str = Field("", description="transformers model (local) or the model's name on the server (endpoint)")
    adapter: str | None = Field(None, description="PEFT adapter folder (local)")
    four_bit: bool = Field(True, description="load the local model in 4-bit NF4 where there is a GPU")
    max_new_tokens: int = Field(320, ge=16, le=4096, description="longest text a model may write for one answer")
    temperature: float = Field(0.0, ge=0, le=2, description="0 writes the likeliest words every time")
    examples: bool = Field(False, description="show the model worked examples (few-shot)")
    step_by_step: bool = Field(False, description="ask the model to list evidence before it answers")
    endpoint_url: str = Field("http://127.0.0.1:8000/v1", description="OpenAI-compatible server (vLLM, llama.cpp, Ollama)")
    endpoint_key: SecretStr | None = Field(None, description="key for that server, if it wants one")
    endpoint_timeout_seconds: float = Field(60.0, gt=0, description="longest silence of the server before we give up")

    expert: str = Field("", description="whom to ask when we are not sure, in your words (name, telephone, office)")
    language: Literal["en", "zh"] = Field("en", description="language of the page until a visitor chooses")
    secret: SecretStr | None = Field(None, description="key that signs visitor cookies; made on first start when unset")
    public_host: str = Field("", description="host name people use, when the page stands behind a proxy")

    @property
    def database(self) -> str:
        """The SQLAlchemy address in use."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.home / 'agri.sqlite3'}"

    @property
    def index_address(self) -> str:
        """The SQLAlchemy address of an index in a database; "" where the index is a folder."""
        return self.index_database.get_secret_value() if self.index_database is not None else ""

    @property
    def index_folder(self) -> Path:
        """The index folder in use."""
        return self.index or self.home / "index"
