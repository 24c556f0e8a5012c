"""The writer that asks an OpenAI-compatible server, against a real server on this machine that misbehaves on request."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from agri_llm.errors import ModelError, ModelUnavailable, SettingsInvalid
from agri_llm.language.brief import Brief, LanguageModel
from agri_llm.language.endpoint import EndpointModel
from agri_llm.records import Question

KEY = "sk-secret-0123456789"
WORDS = ["Remove ", "the leaves.", "[1]"]
TEXT = "".join(WORDS)
Turn = Callable[["Visit"], None]


class Visit(BaseHTTPRequestHandler):
    """One request; what happens to a chat request is the next turn in the server's script."""

    server: ModelServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.listed += 1
        if isinstance(self.server.models, int):
            self.reply(self.server.models, {"error": "no"})
        elif isinstance(self.server.models, bytes):
            self.reply(200, self.server.models)
        else:
            self.reply(200, {"object": "list", "data": self.server.models})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, self.headers["Authorization"], body))
        turn = self.server.script.pop(0) if len(self.server.script) > 1 else self.server.script[0]
        turn(self)

    def reply(self, status: int, body: Any, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def event(self, data: Any) -> None:
        text = data if isinstance(data, str | bytes) else json.dumps(data, ensure_ascii=False)
        self.chunk(b"data: " + (text if isinstance(text, bytes) else text.encode()) + b"\n\n")

    def word(self, text: str | None, last: bool = False) -> None:
        self.event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop" if last else None}]})

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        return


class ModelServer(ThreadingHTTPServer):
    """A server that has one model and writes TEXT, unless a test gives it another script."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Visit)
        self.models: list[dict[str, Any]] | int | bytes = [{"id": "qwen", "object": "model"}]
        self.script: list[Turn] = [write]
        self.requests: list[tuple[str, str | None, dict[str, Any]]] = []
        self.listed = 0
        self.left = threading.Event()  # set when a visitor hangs up while the server writes
        self.stopping = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


def write(visit: Visit) -> None:
    visit.begin()
    visit.event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
    for word in WORDS:
        visit.word(word)
    visit.word(None, last=True)
    visit.event({"choices": [], "usage": {"completion_tokens": 3}})
    visit.event("[DONE]")
    visit.chunk(b"")


def write_without_end(visit: Visit) -> None:
    visit.begin()
    try:
        while not visit.server.stopping.is_set():
            visit.word("leaf ")
            time.sleep(0.01)
    except OSError:
        visit.server.left.set()


def slow_first_word(visit: Visit) -> None:
    time.sleep(0.3)
    write(visit)


def say_nothing(visit: Visit) -> None:
    visit.server.stopping.wait(10)


def fall_silent(visit: Visit) -> None:
    visit.begin()
    visit.word("Remove ")
    visit.server.stopping.wait(10)


def die(visit: Visit) -> None:
    visit.hang_up()


def die_after_two_words(visit: Visit) -> None:
    visit.begin()
    visit.word(WORDS[0])
    visit.word(WORDS[1])
    visit.hang_up()


def end_early(visit: Visit) -> None:
    visit.begin()
    visit.word(WORDS[0])
    visit.chunk(b"")


def finish(*events: Any) -> Turn:
    """A well-formed stream of exactly these events."""

    def turn(visit: Visit) -> None:
        visit.begin()
        for event in events:
            visit.event(event)
        visit.chunk(b"")

    return turn


def status(code: int, message: str = "no", **headers: str) -> Turn:
    return lambda visit: visit.reply(code, {"error": {"message": message}}, **headers)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    running = ModelServer()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.stopping.set()
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def writer(server: ModelServer, pauses: list[float]) -> EndpointModel:
    return connect(server.url, pauses=pauses)


def connect(url: str, model: str = "qwen", key: str | None = KEY, *, pauses: list[float] | None = None) -> EndpointModel:
    slept: list[float] = [] if pauses is None else pauses
    return EndpointModel(url, model, key, timeout_seconds=1.0, max_new_tokens=64, temperature=0.0, sleep=slept.append)


def ask() -> Brief:
    messages = ({"role": "system", "content": "Cite."}, {"role": "user", "content": "叶子上有白粉?"})
    return Brief(question=Question(text="叶子上有白粉?"), intent="act", hits=(), messages=messages)


def refused(writer: LanguageModel) -> ModelUnavailable:
    """Ask, expect an error before any text, and check what every such error owes to people."""
    with pytest.raises(ModelUnavailable) as caught:
        list(writer.stream(ask()))
    sentence = str(caught.value)
    assert KEY not in sentence
    assert "\n" not in sentence
    assert all((caught.value.what, caught.value.why, caught.value.next_step))
    return caught.value


def test_the_text_arrives_word_by_word_as_the_server_wrote_it(server: ModelServer, writer: EndpointModel) -> None:
    assert list(writer.stream(ask())) == WORDS
    path, authorization, body = server.requests[0]
    assert (path, authorization) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert body == {
        "model": "qwen",
        "messages": [{"role": "system", "content": "Cite."}, {"role": "user", "content": "叶子上有白粉?"}],
        "max_tokens": 64,
        "temperature": 0.0,
        "stream": True,
    }


def test_the_first_word_is_shown_before_the_last_is_written(server: ModelServer, writer: EndpointModel) -> None:
    server.script = [write_without_end]
    stream = writer.stream(ask())
    assert next(stream) == "leaf "
    stream.close()


def test_without_a_key_none_is_sent(server: ModelServer) -> None:
    assert "".join(connect(server.url, key=None).stream(ask())) == TEXT
    assert server.requests[0][1] is None


def test_a_slow_first_word_is_waited_for(server: ModelServer, writer: EndpointModel) -> None:
    server.script = [slow_first_word]
    assert "".join(writer.stream(ask())) == TEXT


def test_line_separators_inside_the_text_do_not_break_it(server: ModelServer, writer: EndpointModel) -> None:
    strange = "one\u2028two\u0085three\nfour"
    server.script = [finish({"choices": [{"delta": {"content": strange}, "finish_reason": "stop"}]})]
    assert "".join(writer.stream(ask())) == strange


def test_events_cut_anywhere_on_the_wire_are_put_together(server: ModelServer, writer: EndpointModel) -> None:
    event = json.dumps({"choices": [{"delta": {"content": "白粉病"}, "finish_reason": "stop"}]}, ensure_ascii=False)
    wire = f": still here\r\n\r\nevent: message\r\ndata:{event}\r\n\r\ndata: [DONE]".encode()

    def byte_by_byte(visit: Visit) -> None:
        visit.begin()
        for position in range(len(wire)):
            visit.chunk(wire[position : position + 1])
        visit.chunk(b"")

    server.script = [byte_by_byte]
    assert "".join(writer.stream(ask())) == "白粉病"


def test_a_busy_server_is_asked_again_after_the_time_it_names(
    server: ModelServer, writer: EndpointModel, pauses: list[float]
) -> None:
    server.script = [status(429, Retry_After="1"), status(503, Retry_After="1"), write]
    assert "".join(writer.stream(ask())) == TEXT
    assert pauses == [1.0, 1.0]


def test_the_time_may_be_a_date(server: ModelServer) -> None:
    pauses: list[float] = []
    patient = EndpointModel(server.url, "qwen", None, timeout_seconds=60, max_new_tokens=64, temperature=0, sleep=pauses.append)
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    server.script = [status(429, Retry_After=date), write]
    assert "".join(patient.stream(ask())) == TEXT
    assert 25 < pauses[0] <= 30


def test_a_server_that_asks_for_more_time_than_we_have_is_not_waited_for(
    server: ModelServer, writer: EndpointModel, pauses: list[float]
) -> None:
    server.script = [status(429, Retry_After="3600")]
    assert "429" in str(error := refused(writer))
    assert "3600 seconds" in str(error)
    assert pauses == []


def test_pauses_grow_and_differ_between_visitors(server: ModelServer) -> None:
    server.script = [status(500)]
    first: list[float] = []
    second: list[float] = []
    refused(connect(server.url, pauses=first))
    refused(connect(server.url, pauses=second))
    assert len(first) == 3
    assert all(0.25 * 2**count <= pause <= 0.5 * 2**count for count, pause in enumerate(first))
    assert first != second


def test_a_server_that_stays_broken_is_given_up_after_the_retries(server: ModelServer, writer: EndpointModel) -> None:
    server.script = [status(500, f"worker died, your key was {KEY}")]
    error = refused(writer)
    assert "answered 500" in error.what
    assert "worker died, your key was ***" in error.why
    assert len(server.requests) == 1 + 3


def test_three_failures_and_then_an_answer_is_an_answer(server: ModelServer, writer: EndpointModel) -> None:
    server.script = [status(500), die, status(502), write]
    assert "".join(writer.stream(ask())) == TEXT


def test_a_server_that_dies_while_writing_leaves_the_text_so_far_and_is_not_asked_again(
    server: ModelServer, writer: EndpointModel, pauses: list[float]
) -> None:
    server.script = [die_after_two_words, write]
    shown: list[str] = []
    with pytest.raises(ModelUnavailable, match=r"broke.*not complete"):
        shown.extend(writer.stream(ask()))  # keeps what came before the error
    assert shown == WORDS[:2]
    assert len(server.requests) == 1
    assert pauses == []


def test_a_stream_that_ends_without_saying_so_is_not_taken_for_an_answer(server: ModelServer, writer: EndpointModel) -> None:
    server.script = [end_early]
    stream = writer.stream(ask())
    assert next(stream) == WORDS[0]
    with pytest.raises(ModelUnavailable, match="ended before the text did"):
        next(stream)


def test_an_error_in_the_stream_is_reported(server: ModelServer, writer: EndpointModel) -> None:
    server.script = [finish({"error": {"message": "CUDA out of memory", "code": 500}})]
    assert "CUDA out of memory" in refused(writer).why


@pytest.mark.parametrize(
    "garbage",
    ["{not json", "[]", "17", "null", '{"choices": 5}', '{"choices": [{"delta": {"content": ["a"]}}]}', '{"object": "x"}'],
)
def test_garbage_in_the_stream_is_refused_without_asking_again(
    server: ModelServer, writer: EndpointModel, pauses: list[float], garbage: str
) -> None:
    server.script = [finish(garbage, "[DONE]")]
    error = refused(writer)
    assert garbage in error.what
    assert pauses == []


def test_bytes_that_are_no_text_are_refused(server: ModelServer, writer: EndpointModel) -> None:
    server.script = [finish(b'{"choices": "\xff\xfe"}')]
    assert "we cannot read it" in refused(writer).why


def test_a_web_page_instead_of_a_stream_is_refused(server: ModelServer, writer: EndpointModel) -> None:
    server.script = [lambda visit: visit.reply(200, b"<html>")]
    assert "'application/json' instead of a stream" in refused(writer).what


def test_a_stream_without_text_is_not_an_answer(server: ModelServer, writer: EndpointModel) -> None:
    server.script = [finish("[DONE]")]
    assert "wrote no text" in refused(writer).what


def test_silence_ends_in_an_error_that_names_the_seconds(server: ModelServer) -> None:
    model = EndpointModel(server.url, "qwen", KEY, timeout_seconds=0.2, max_new_tokens=64, temperature=0.0)
    server.script = [say_nothing]
    begun = time.monotonic()
    assert "silent for 0.2 seconds" in refused(model).what
    assert time.monotonic() - begun < 1.0


def test_silence_after_the_first_word_ends_in_an_error_too(server: ModelServer) -> None:
    model = EndpointModel(server.url, "qwen", KEY, timeout_seconds=0.2, max_new_tokens=64, temperature=0.0)
    server.script = [fall_silent]
    stream = model.stream(ask())
    assert next(stream) == "Remove "
    with pytest.raises(ModelUnavailable, match="silent for"):
        next(stream)


def test_nobody_at_the_address_is_said_after_the_retries(pauses: list[float]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        error = refused(connect(url, pauses=pauses))
    assert url in error.what
    assert len(pauses) == 3


@pytest.mark.parametrize("code", [401, 403])
def test_a_key_that_is_not_accepted_is_said_without_showing_it(
    server: ModelServer, writer: EndpointModel, pauses: list[float], code: int
) -> None:
    server.models = code
    server.script = [status(code, f"Incorrect API key provided: {KEY[:6]}***{KEY[-4:]}")]
    error = refused(writer)
    assert "does not accept our key" in error.why
    assert KEY[-4:] not in str(error)
    assert KEY not in repr(vars(writer)["_client"].headers)
    assert pauses == []


def test_an_unknown_model_is_answered_with_those_there_are(server: ModelServer) -> None:
    server.models = [{"id": "qwen"}, {"id": "llama"}]
    server.script = [status(404, "The model `phi` does not exist.")]
    error = refused(connect(server.url, "phi"))
    assert "does not have the model 'phi', it offers 'llama', 'qwen'" in error.why


def test_an_address_that_is_no_model_server_says_so(server: ModelServer, writer: EndpointModel) -> None:
    server.models = 404
    server.script = [status(404)]
    assert "no list of models" in refused(writer).why


def test_a_request_the_server_refuses_is_explained_in_its_words(server: ModelServer, writer: EndpointModel) -> None:
    server.script = [status(400, "maximum context length is 2048 tokens")]
    assert "maximum context length is 2048 tokens" in refused(writer).why
    assert len(server.requests) == 1


def test_a_redirect_is_not_followed_with_the_key(server: ModelServer, writer: EndpointModel) -> None:
    server.script = [status(307, Location="http://127.0.0.1:9/v1/chat/completions")]
    assert "answered 307" in refused(writer).what


def test_an_empty_model_name_takes_the_only_model(server: ModelServer) -> None:
    model = connect(server.url, "")
    assert "".join(model.stream(ask())) == TEXT
    assert (model.name, server.requests[0][2]["model"]) == ("qwen", "qwen")


@pytest.mark.parametrize(("offered", "said"), [(["b", "a"], "'a', 'b'"), ([], "no model")])
def test_an_empty_model_name_with_a_choice_of_models_asks_for_a_decision(
    server: ModelServer, offered: list[str], said: str
) -> None:
    server.models = [{"id": name} for name in offered]
    assert f"offers {said} and AGRI_MODEL is empty" in refused(connect(server.url, "")).what
    assert server.requests == []


def test_a_server_started_anew_with_another_model_is_found_again(server: ModelServer) -> None:
    model = connect(server.url, "")
    list(model.stream(ask()))
    server.models = [{"id": "llama"}]
    server.script = [status(404), write]
    assert "it offers 'llama'" in refused(model).why
    assert "".join(model.stream(ask())) == TEXT
    assert model.name == "llama"


@pytest.mark.parametrize("models", [b"<html>", b"[]", b'{"data": [{"name": "qwen"}]}'])
def test_a_list_of_models_that_cannot_be_read_is_refused(server: ModelServer, writer: EndpointModel, models: bytes) -> None:
    server.models = models
    assert "as its list of models" in refused(writer).what


def test_a_named_model_needs_no_list(server: ModelServer, writer: EndpointModel) -> None:
    server.models = 404
    assert "".join(writer.stream(ask())) == TEXT
    assert (writer.name, writer.adapter) == ("qwen", None)


def test_the_server_says_which_model_is_an_adapter_and_is_asked_once(server: ModelServer) -> None:
    server.models = [{"id": "qwen", "parent": None}, {"id": "potato-v1", "parent": "qwen"}]
    adapted, plain = connect(server.url, "potato-v1"), connect(server.url, "qwen")
    for model in (adapted, adapted, plain):
        list(model.stream(ask()))
    assert (adapted.name, adapted.adapter) == ("potato-v1", "potato-v1")
    assert (plain.name, plain.adapter) == ("qwen", None)
    assert server.listed == 2


def test_describe_asks_the_server(server: ModelServer, writer: EndpointModel) -> None:
    assert writer.describe() == {"server": server.url, "model": "qwen", "adapter": None, "offered": ["qwen"]}


def test_closing_the_stream_hangs_up_and_the_server_notices(server: ModelServer, writer: EndpointModel) -> None:
    server.script = [write_without_end]
    stream = writer.stream(ask())
    next(stream)
    assert not server.left.is_set()
    stream.close()
    assert server.left.wait(2.0)
    server.script = [write]
    assert "".join(writer.stream(ask())) == TEXT


def test_two_questions_are_answered_at_the_same_time(server: ModelServer, writer: EndpointModel) -> None:
    server.script = [write_without_end, write]
    endless = writer.stream(ask())
    next(endless)
    assert "".join(writer.stream(ask())) == TEXT
    endless.close()


@pytest.mark.parametrize("url", ["", "localhost:8000/v1", "127.0.0.1", "ftp://x/v1", "http://", "http://[::1/v1"])
def test_an_address_that_cannot_work_is_a_setting_to_correct(url: str) -> None:
    with pytest.raises(SettingsInvalid, match="AGRI_ENDPOINT_URL is"):
        connect(url)


def test_a_password_in_the_address_is_not_shown(server: ModelServer) -> None:
    server.script = [status(400)]
    url = server.url.replace("http://", "http://farmer:hunter2@")
    assert "hunter2" not in str(refused(connect(url)))


def test_a_key_with_a_line_end_is_trimmed_and_one_that_cannot_be_sent_is_not_shown(server: ModelServer) -> None:
    list(connect(server.url, key=KEY + "\n").stream(ask()))
    assert server.requests[0][1] == f"Bearer {KEY}"
    with pytest.raises(SettingsInvalid) as caught:
        connect(server.url, key="sk-ü-secret")
    assert "secret" not in str(caught.value)


def test_an_error_of_the_server_is_a_model_error(server: ModelServer, writer: EndpointModel) -> None:
    server.script = [status(400)]
    assert isinstance(refused(writer), ModelError)
