"""A language model on a server that speaks the OpenAI protocol: vLLM, llama.cpp, Ollama, or a hosted one."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from agri_llm.errors import ModelUnavailable, SettingsInvalid
from agri_llm.language.brief import Brief

CONNECT_SECONDS = 5.0  # a server that runs accepts within milliseconds; more is a wrong address or a machine that is off
FIRST_PAUSE_SECONDS = 0.5  # doubles with every attempt
LONGEST_PAUSE_SECONDS = 8.0
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
WRONG_SHAPE = (ValueError, LookupError, AttributeError, TypeError)  # what reading JSON of another shape raises
Piece = TypeVar("Piece")


class EndpointModel:
    """Writes answers with a model on an OpenAI-compatible server.

    `url` ends in /v1 on most servers. An empty `model` takes the only one the server has. `timeout_seconds` is the longest
    silence we bear. What may pass by itself (429, 5xx, a lost connection) is tried again up to `retries` times, but only while
    no text has been shown. Nothing is sent before the first answer; from then on `name` and `adapter` are what the server says.
    Raises SettingsInvalid for an address or a key that cannot work.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None,
        *,
        timeout_seconds: float,
        max_new_tokens: int,
        temperature: float,
        retries: int = 3,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = model
        self.adapter: str | None = None
        self._wanted, self._asked = model, False
        self._choices = {"max_tokens": max_new_tokens, "temperature": temperature, "stream": True}
        self._timeout_seconds, self._retries, self._sleep = timeout_seconds, retries, sleep
        self._key = _checked_key(key)
        address = _checked_address(url)
        self._server = str(address.copy_with(username=None, password=None, query=None)).rstrip("/")
        self._client = httpx.Client(
            base_url=address,
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=httpx.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds)),
            trust_env=address.host not in THIS_MACHINE,  # no proxy stands between us and our own machine
        )

    def describe(self) -> dict[str, str | list[str] | None]:
        """Ask the server and return one line for the doctor: address, model, adapter, and every model it offers."""
        offered = self._offered()
        self._choose(offered)
        return {"server": self._server, "model": self.name, "adapter": self.adapter, "offered": sorted(offered)}

    def stream(self, brief: Brief) -> Generator[str, None, None]:
        """Yield the answer as the server writes it, like `reply`."""
        return self.reply(brief.messages)

    def reply(self, messages: Iterable[Mapping[str, Any]]) -> Generator[str, None, None]:
        """Yield what the server writes to any messages; closing the generator hangs up, and the server stops writing.

        Raises ModelUnavailable, after the text so far where the server died while writing.
        """
        if not self._asked:
            try:
                self._choose(self._offered())
            except _Refused:  # some servers and keys allow writing but no list; a model with a name needs none
                if not self._wanted:
                    raise
        request = {"model": self.name, "messages": [dict(message) for message in messages], **self._choices}
        with closing(self._persistently(lambda: self._write(request))) as pieces:
            yield from pieces

    def _choose(self, offered: Mapping[str, str | None]) -> None:
        """Settle on the model: the one that is wanted, or the only one; raise ModelUnavailable where there is a choice."""
        if not self._wanted and len(offered) != 1:
            raise ModelUnavailable(
                f"{self._server} offers {_names(offered)} and AGRI_MODEL is empty",
                "we cannot tell which of them is meant",
                "set AGRI_MODEL to one of them" if offered else "load a model on that server",
            )
        self.name = self._wanted or next(iter(offered))
        self.adapter = self.name if offered.get(self.name) else None  # vLLM names the base of an adapter as its `parent`
        self._asked = True

    def _offered(self) -> dict[str, str | None]:
        """Return the names of the server's models, each with the base model it is an adapter of, or None."""
        return dict(self._persistently(self._list_models))

    def _list_models(self) -> Generator[tuple[str, str | None], None, None]:
        with self._ask("GET", "models") as response:
            body = response.read()
        try:
            models = [(str(model["id"]), model.get("parent")) for model in json.loads(body)["data"] or ()]
        except WRONG_SHAPE as error:
            raise self._nonsense(f"sent {self._quoted(body)} as its list of models") from error
        yield from models

    def _write(self, request: dict[str, Any]) -> Generator[str, None, None]:
        """Send the request once and yield the pieces of text that come back."""
        written, complete = False, False
        with self._ask("POST", "chat/completions", json=request) as response:
            kind = response.headers.get("content-type", "nothing")
            if not kind.startswith("text/event-stream"):
                raise self._nonsense(f"sent {kind[:60]!r} instead of a stream of text")
            for data in _events(response.iter_bytes()):
                if data == b"[DONE]":
                    complete = True
                    break
                piece, last = self._piece(data)
                complete = complete or last
                if piece:
                    written = True
                    yield piece
        if not complete:
            raise self._broken("the stream ended before the text did")
        if not written:
            raise ModelUnavailable(
                f"the model {self.name!r} on {self._server} wrote no text",
                "there is nothing to show",
                "ask again, raise AGRI_MAX_NEW_TOKENS, or choose an instruct model in AGRI_MODEL",
            )

    def _piece(self, data: bytes) -> tuple[str, bool]:
        """Return the text in one event of the stream, and whether the server calls it the last text."""
        try:
            event = json.loads(data)
            if error := event.get("error"):
                said = self._quoted(json.dumps(error).encode())
                raise ModelUnavailable(f"{self._server} failed while writing", said, "ask again, or look at the server's log")
            if not event["choices"]:
                return "", False  # the count of tokens, which some servers send at the end
            choice = event["choices"][0]
            piece = (choice.get("delta") or {}).get("content") or ""
            if not isinstance(piece, str):
                raise TypeError(f"text expected, got {type(piece).__name__}")
            return piece, choice.get("finish_reason") is not None
        except WRONG_SHAPE as error:
            raise self._nonsense(f"sent {self._quoted(data)} in the stream of text") from error

    def _persistently(self, attempt: Callable[[], Generator[Piece, None, None]]) -> Generator[Piece, None, None]:
        """Yield what `attempt` yields; while it has yielded nothing, try again after what may pass by itself."""
        for count in range(self._retries + 1):
            begun = False
            try:
                with closing(attempt()) as pieces:
                    for piece in pieces:
                        begun = True
                        yield piece
                return
            except _Passing as trouble:
                if begun or count == self._retries or trouble.wait_seconds > self._timeout_seconds:
                    raise
                pause = min(FIRST_PAUSE_SECONDS * 2**count, LONGEST_PAUSE_SECONDS)
                pause *= random.uniform(0.5, 1.0)  # so that many visitors do not come back at the same moment
                wait_seconds = max(pause, trouble.wait_seconds)
            self._sleep(wait_seconds)

    @contextmanager
    def _ask(self, method: str, path: str, **body: Any) -> Iterator[httpx.Response]:
        """Send a request; whatever goes wrong, at once or while the answer is read, becomes a sentence without the key."""
        try:
            with self._client.stream(method, path, **body) as response:
                if response.status_code != httpx.codes.OK:
                    raise self._refusal(response)
                yield response
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            found, why = f"nothing answers at {self._server}", str(error) or "no connection"
            raise _Passing(found, why, "start the model server, or correct AGRI_ENDPOINT_URL") from error
        except httpx.TimeoutException as error:
            raise ModelUnavailable(
                f"{self._server} was silent for {self._timeout_seconds:g} seconds",
                "we do not wait longer",
                "ask again, or raise AGRI_ENDPOINT_TIMEOUT_SECONDS",
            ) from error
        except httpx.TransportError as error:
            raise self._broken(str(error) or type(error).__name__) from error
        except httpx.DecodingError as error:
            raise self._nonsense("sent bytes that cannot be decompressed") from error

    def _refusal(self, response: httpx.Response) -> ModelUnavailable:
        """Return the sentence for a status that is not 200."""
        status, wait = response.status_code, _retry_after_seconds(response.headers)
        found = f"{self._server} answered {status}"
        if status in (401, 403):  # what it says is left out: some servers repeat part of the key
            return _Refused(found, "it does not accept our key", "set AGRI_ENDPOINT_KEY to a key of that server")
        if status == 404 and response.request.method == "GET":
            return _Refused(found, "it has no list of models", "check AGRI_ENDPOINT_URL, which ends in /v1 on most servers")
        if status == 404:
            self._asked = False  # ask again next time: the server may have been started anew with another model
            why = f"it does not have the model {self.name!r}, it offers {_names(self._offered())}"
            return _Refused(found, why, "set AGRI_MODEL to one it offers")
        said = self._quoted(next(response.iter_bytes(2000), b""))
        if status == 429 or status >= 500:
            later = f", and asks us to wait {wait:.0f} seconds" if wait else ""
            return _Passing(found, f"it is busy or broken and says {said}{later}", "ask again later", wait_seconds=wait)
        return _Refused(found, f"it refuses the request and says {said}", "check AGRI_ENDPOINT_URL and AGRI_MODEL")

    def _broken(self, why: str) -> ModelUnavailable:
        return _Passing(f"the connection to {self._server} broke", f"the answer is not complete ({why})", "ask again")

    def _nonsense(self, what: str) -> ModelUnavailable:
        return ModelUnavailable(
            f"{self._server} {what}", "we cannot read it", "check that AGRI_ENDPOINT_URL is an OpenAI-compatible server"
        )

    def _quoted(self, body: bytes) -> str:
        """Return the start of what a server sent, on one line, in quotes, without the key."""
        text = " ".join(body.decode(errors="replace").split())
        return repr((text.replace(self._key, "***") if self._key else text)[:200])


class _Passing(ModelUnavailable):
    """Trouble that may pass by itself; `wait_seconds` is how long the server asks us to wait."""

    def __init__(self, what: str, why: str, next_step: str, *, wait_seconds: float = 0.0) -> None:
        super().__init__(what, why, next_step)
        self.wait_seconds = wait_seconds


class _Refused(ModelUnavailable):
    """The server is there and says no; asking again would not help."""


def _events(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the data of each event of a server-sent stream (WHATWG HTML, 9.2), one line each in this protocol.

    Lines end at a line feed only: httpx' own lines also end at U+2028 and U+0085, which may stand inside a JSON text.
    """
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.removeprefix(b"data:").strip() for line in lines if line.startswith(b"data:"))
    if rest.startswith(b"data:"):
        yield rest.removeprefix(b"data:").strip()


def _retry_after_seconds(headers: Mapping[str, str]) -> float:
    """Return how long a server asks us to wait: seconds or a date (RFC 9110, 10.2.3); 0 where it does not say."""
    said = headers.get("retry-after", "")
    try:
        if said.strip().isdecimal():
            return float(said)
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # not a date, or one without a time zone
        return 0.0


def _names(offered: Iterable[str]) -> str:
    """Return the names of models as a list for a sentence."""
    return ", ".join(map(repr, sorted(offered))) or "no model"


def _checked_address(url: str) -> httpx.URL:
    try:
        address = httpx.URL(url.strip())
    except httpx.InvalidURL:
        address = httpx.URL()
    if address.scheme not in ("http", "https") or not address.host:
        raise SettingsInvalid(
            f"AGRI_ENDPOINT_URL is {url!r}", "that is not an http address", "write it like http://127.0.0.1:8000/v1"
        )
    return address


def _checked_key(key: str | None) -> str:
    """Return the key without the line end that a file leaves behind; it is never part of an error."""
    stripped = (key or "").strip()
    if not (stripped.isascii() and stripped.isprintable()):
        raise SettingsInvalid(
            "AGRI_ENDPOINT_KEY holds characters that no key has", "it cannot be sent to the server", "copy the key again"
        )
    return stripped
