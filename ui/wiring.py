"""The only module that reads the settings and puts the parts together; heavy imports happen inside the functions."""

from __future__ import annotations

import secrets
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from agri_llm.errors import BadInput, SettingsInvalid, StoreUnavailable
from agri_llm.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL.Image import Image

    from agri_llm.assistant import Assistant
    from agri_llm.canary import Watch
    from agri_llm.judgements import Promotion, SignedAnswer
    from agri_llm.language.brief import LanguageModel
    from agri_llm.language.local import LocalModel
    from agri_llm.photo_description import PhotoDescriber
    from agri_llm.records import Diagnosis, Question
    from agri_llm.store import Store
    from agri_llm.vision import PhotoModel
    from knowledge_base.builder import Progress
    from knowledge_base.embedding import Embedder
    from knowledge_base.index import KnowledgeBase
    from knowledge_base.reranking import SecondLook


@cache
def settings() -> Settings:
    """Read the settings once; raises SettingsInvalid naming the variable that cannot work."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "AGRI_" + "_".join(str(part) for part in first["loc"]).upper()
        raise SettingsInvalid(
            f"{name} is {first.get('input')!r}" if "key" not in name.lower() and "secret" not in name.lower() else name,
            str(first["msg"]),
            "correct it in the environment or in .env",
        ) from error


@cache
def embedder() -> Embedder:
    """The embedder in use, loaded on first use."""
    from knowledge_base.embedding import Embedder

    return Embedder(settings().embedder)


@cache
def store() -> Store:
    """The store in use; the database is not touched before its first use."""
    from agri_llm.store import Store

    return Store(settings().database)


@cache
def knowledge_base() -> KnowledgeBase | SecondLook:
    """The index in use, behind a second stage where the settings name one; raises IndexMissing or IndexMismatch."""
    from knowledge_base.reranking import CrossEncoder, InContext, SecondLook

    base, chosen = _index(), settings().reranker
    if not chosen:
        return base
    if chosen == "context":
        return SecondLook(base, InContext(embedder().tokens, reads_every_language=not embedder().english_only))
    return SecondLook(base, CrossEncoder(chosen))


def _index() -> KnowledgeBase:
    if settings().index_address:
        from knowledge_base.postgres import PostgresKnowledgeBase

        return PostgresKnowledgeBase(settings().index_address, embedder(), meaning_weight=settings().meaning_weight)
    from knowledge_base.index import KnowledgeBase

    return KnowledgeBase(settings().index_folder, embedder(), meaning_weight=settings().meaning_weight)


def prepare_index(progress: Progress | None = None) -> bool:
    """Build the index of the shipped corpus where there is none, or renew its sheets where ours are newer; True if written.

    An index in a database is only written by `agri index`.
    """
    if settings().index_address:
        return False
    from knowledge_base.shipped import ensure

    return ensure(settings().index_folder, embedder(), progress=progress)


@cache
def language_model() -> LanguageModel:
    """Who writes the answers, by the setting AGRI_WRITER; raises ModelMissing."""
    chosen = settings()
    if chosen.writer == "local" and chosen.adapter:
        return base_model().with_adapter(chosen.adapter)
    if chosen.writer == "local":
        from agri_llm.language.switching import SwitchingModel

        return SwitchingModel(base_model(), lambda: in_store(lambda kept: kept.promotions.current()), canary=running_canary)
    if chosen.writer == "endpoint":
        from agri_llm.language.endpoint import EndpointModel

        return EndpointModel(
            chosen.endpoint_url,
            chosen.model,
            chosen.endpoint_key.get_secret_value() if chosen.endpoint_key else None,
            timeout_seconds=chosen.endpoint_timeout_seconds,
            max_new_tokens=chosen.max_new_tokens,
            temperature=chosen.temperature,
        )
    from agri_llm.language.composer import Composer

    return Composer()


@cache
def base_model() -> LocalModel:
    """The model on this machine without an adapter, loaded once; its siblings with adapters share its weights."""
    from agri_llm.language.local import LocalModel

    chosen = settings()
    return LocalModel(
        chosen.model,
        four_bit=chosen.four_bit,
        max_new_tokens=chosen.max_new_tokens,
        temperature=chosen.temperature,
    )


Found = TypeVar("Found")


def in_store(ask: Callable[[Store], Found]) -> Found | None:
    """Ask the store; a database that was never used holds nothing, which is no complaint. Raises StoreUnavailable."""
    if store().schema_state() == "empty":
        return None
    return ask(store())


@cache
def canary_watch() -> Watch:
    """What looks at the votes on a canary, once a minute at most, and stops it where it harms."""
    from agri_llm import canary

    return canary.Watch(lambda: in_store(lambda kept: canary.settle(kept.promotions)))


def running_canary() -> Promotion | None:
    """The canary that runs, after a look at how it does; raises StoreUnavailable."""
    canary_watch().look()
    return in_store(lambda kept: kept.promotions.canary())


@cache
def assistant() -> Assistant:
    """The assistant with everything it uses."""
    from agri_llm.assistant import Assistant
    from knowledge_base import photo_labels
    from knowledge_base.terms import Glossary

    base = knowledge_base()

    def diagnose(question: Question) -> Diagnosis:
        from agri_llm.photos import reception

        pictures = [reception.image(photo) for photo in question.photos]
        return diagnosis(pictures, crop=crop_of(question.crop), question=question, with_heat=True)

    return Assistant(
        search=base.search,
        diagnose=diagnose,
        subject_of=photo_labels.subject_of,
        model=language_model(),
        glossary=Glossary.load(),
        index_hash=lambda: base.view.hash,
        signed=signed_for,
        expert=settings().expert,
        examples=settings().examples,
        step_by_step=settings().step_by_step,
    )


def signed_for(question: Question) -> SignedAnswer | None:
    """The answer that an expert signed for a question; None also where the database is down, for answering goes on."""
    from agri_llm.records import now

    try:
        return store().signed.serving(question, now())
    except StoreUnavailable:
        return None


def assistant_with(adapter: str | None) -> Assistant:
    """The assistant with another adapter, or none, in the place of the one in use. Raises BadInput, ModelMissing."""
    from dataclasses import replace

    chosen = settings()
    if adapter == chosen.adapter and (adapter or chosen.writer != "local"):
        return assistant()
    if chosen.writer != "local":
        raise BadInput(
            f"AGRI_WRITER is {chosen.writer}",
            "an adapter belongs to a model on this machine",
            "set AGRI_WRITER=local and AGRI_MODEL to its base model",
        )
    return replace(assistant(), model=base_model().with_adapter(adapter))


def diagnosis(
    photos: Sequence[Image], *, crop: str | None = None, question: Question | None = None, with_heat: bool = False
) -> Diagnosis:
    """What photos of one plant show: what the photo model says and, where the settings want it, what a second model sees."""
    from agri_llm.questions import language_of

    model, describer = photo_model(), photo_describer()
    found = model.diagnose(photos, crop=crop, with_heat=with_heat)
    if describer is None:
        return found
    said = question.text if question else ""
    language = language_of(said, question.language if question else None)
    return describer.beside(found, photos, labels=model.labels_of(crop), said=said, language=language)


@cache
def photo_describer() -> PhotoDescriber | None:
    """The second model that looks at photos, on the server of AGRI_ENDPOINT_URL; None unless AGRI_PHOTO_DESCRIBER is set."""
    chosen = settings()
    if not chosen.photo_describer:
        return None
    from agri_llm.language.endpoint import EndpointModel
    from agri_llm.photo_description import LONGEST_TOKENS, PhotoDescriber

    seconds = chosen.endpoint_timeout_seconds
    model = EndpointModel(
        chosen.endpoint_url,
        chosen.photo_describer_model or chosen.model,
        chosen.endpoint_key.get_secret_value() if chosen.endpoint_key else None,
        timeout_seconds=seconds,
        max_new_tokens=LONGEST_TOKENS,
        temperature=0.0,
        retries=0,  # a person waits, and the page goes on without it
    )
    return PhotoDescriber(model, seconds)


@cache
def photo_model() -> PhotoModel:
    """The photo model in use, loaded on first use; raises SettingsInvalid where its labels cannot be read, ModelMissing.

    A CLIP or SigLIP model reads our labels as texts; with AGRI_PHOTO_LABELS the names in it are the texts.
    """
    from agri_llm import zero_shot
    from agri_llm.vision import SHIPPED, PhotoModel
    from knowledge_base import photo_labels, photo_prompts

    chosen = settings()
    names = photo_labels.read_names(chosen.photo_labels) if chosen.photo_labels else {}
    if not chosen.photo_model or not zero_shot.compares_texts(chosen.photo_model):
        return PhotoModel(chosen.photo_model or SHIPPED, names)
    languages = [language.strip() for language in chosen.photo_languages.split(",") if language.strip()]
    return zero_shot.ZeroShotModel(
        chosen.photo_model, photo_labels.by_label(names) if names else photo_prompts.texts(languages)
    )


def crop_of(name: str | None) -> str | None:
    """Return the crop that a person named, as the photo model calls it; the name itself where the glossary knows none."""
    from knowledge_base.terms import Glossary

    found = Glossary.load().crops(name) if name else ()
    return found[0] if found else name


def visitor_secret() -> str:
    """The key that signs visitor cookies: AGRI_SECRET, or one made on the first start and kept in `home`."""
    chosen = settings()
    if chosen.secret is not None:
        value = chosen.secret.get_secret_value()
        if len(value) < 32:
            raise SettingsInvalid(
                "AGRI_SECRET is shorter than 32 characters", "it could be guessed", "use `openssl rand -hex 32`"
            )
        return value
    path = chosen.home / "visitor-secret"
    chosen.home.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="ascii") as file:
            path.chmod(0o600)
            file.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    return path.read_text(encoding="ascii").strip()
