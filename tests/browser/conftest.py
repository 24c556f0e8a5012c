"""The real page in a real browser: the server on a free port, Debian's Chromium, and a model that writes slowly."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from running_app import ROOT, RunningApp, missing

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",  # whoever is asked for the camera says yes
    "--use-fake-device-for-media-stream",
]
SHEETS = ("tomato-early-blight", "maize-fall-armyworm", "grain-drying-and-storage")
PAYLOAD = (
    "<script>window.hacked=1</script><img src=x onerror=window.hacked=1> ![p](https://evil.example/p.png)"
    " [l](javascript:window.hacked=1) $\\href{javascript:window.hacked=1}{x}$ :material/delete:"
)


@dataclass
class Watched:
    """A page and what happened on it that must not happen."""

    page: Any
    foreign: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small index: three sheets of ours, and one document by somebody who wishes us ill."""
    from knowledge_base import builder, shipped
    from knowledge_base.embedding import Embedder

    chosen = [passage for passage in shipped.sheets() if passage.document_id in SHEETS]
    evil = replace(
        chosen[0],
        id="evil#1",
        document_id="evil",
        title=f"Mildew of quinoa {PAYLOAD}",
        heading=PAYLOAD,
        text=f"Mildew of quinoa makes pale spots on quinoa leaves. {PAYLOAD}\nRemove quinoa leaves with mildew at once.",
        crop=("quinoa",),
        url="javascript:window.hacked=1",
        licence=PAYLOAD,
        sources=(PAYLOAD,),
    )
    folder = tmp_path_factory.mktemp("index")
    builder.build(folder, [*chosen, evil], Embedder(""))
    return folder


@pytest.fixture(scope="session")
def run_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunningApp]]:
    """Start servers; all are ended with the tests."""
    started: list[RunningApp] = []

    def start(**settings: str) -> RunningApp:
        home = tmp_path_factory.mktemp("home")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AGRI_", "STREAMLIT_"))}
        environment |= {"AGRI_HOME": str(home), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **settings}
        command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "ui" / "asgi.py"), "--server.port", str(port)]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=subprocess.STDOUT)
        running = RunningApp(f"http://127.0.0.1:{port}", home, process)
        started.append(running)
        _wait_until_up(running)
        return running

    yield start
    for running in started:
        running.process.terminate()
        try:
            running.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            running.process.kill()


def _wait_until_up(running: RunningApp) -> None:
    for _ in range(600):
        if running.process.poll() is not None:
            pytest.fail(f"The server ended at once:\n{running.log}")
        try:
            urllib.request.urlopen(f"{running.url}/api/health", timeout=5).read()
        except urllib.error.HTTPError:
            return  # it answers; whether it is well is for the test to say
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"The server did not start within two minutes:\n{running.log}")


@pytest.fixture(scope="session")
def app(run_app: Callable[..., RunningApp], index: Path) -> RunningApp:
    """The page as people install it: the composer writes."""
    return run_app(AGRI_INDEX=str(index))


@pytest.fixture(scope="session")
def photo_app(run_app: Callable[..., RunningApp], index: Path, tmp_path_factory: pytest.TempPathFactory) -> RunningApp:
    """The page with a tiny photo model that sees early blight of tomato on everything."""
    import torch
    from drawn_leaves import build, save

    from agri_llm import vision

    model = build("resnet", ("tomato__early_blight", "tomato__healthy"))
    with torch.no_grad():
        vision.last_layer(model).bias.copy_(torch.tensor([9.0, 0.0]))
    folder = save(model, tmp_path_factory.mktemp("photo-model"))
    return run_app(AGRI_INDEX=str(index), AGRI_PHOTO_MODEL=str(folder))


@pytest.fixture(scope="session")
def slow_app(run_app: Callable[..., RunningApp], index: Path, slow_model: str) -> RunningApp:
    """The page with a model on a server that takes its time."""
    return run_app(AGRI_INDEX=str(index), AGRI_WRITER="endpoint", AGRI_MODEL="slow", AGRI_ENDPOINT_URL=slow_model)


class _SlowModel(BaseHTTPRequestHandler):
    """Answers with the first sentences of the first passage, one second each."""

    def do_GET(self) -> None:
        body = json.dumps({"object": "list", "data": [{"id": "slow", "object": "model"}]}).encode()
        self._begin("application/json")
        self.wfile.write(body)

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = request["messages"][-1]["content"]
        passages = re.findall(r"^\[\d+\] (.*?)(?=^\[\d+\] |^Question:)", prompt, re.DOTALL | re.MULTILINE)
        sentences = [found for found in re.split(r"(?<=\.)\s+", passages[0].replace("\n", " ")) if len(found) > 40][:6]
        self._begin("text/event-stream")
        try:
            for sentence in sentences:
                self._event({"content": f"{sentence.lstrip('- ')}[1]\n"})
                time.sleep(1)
            self._event({}, "stop")
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            pass  # the page has hung up

    def _begin(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()

    def _event(self, delta: dict[str, str], reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        self.wfile.write(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def slow_model() -> Iterator[str]:
    """A model server on this machine; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _SlowModel)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright, with a new profile."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("Playwright is not installed: run `make setup` to test the page in a browser.")
    if not CHROMIUM.exists():
        missing(f"{CHROMIUM} is missing: install Debian's chromium to test the page in a browser.")
    from drawn_leaves import leaf

    film = tmp_path_factory.mktemp("camera") / "leaf.mjpeg"  # what stands before the camera
    frame = io.BytesIO()
    leaf("common_bean__brown_spot", 3, side=480).photo.save(frame, "JPEG", quality=90)
    film.write_bytes(frame.getvalue() * 30)  # a camera whose film has one picture is black when it is opened again
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=[*FLAGS, f"--use-file-for-fake-video-capture={film}"]
        )
        yield running
        running.close()


@pytest.fixture
def visitor(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open pages as new visitors; afterwards nothing may have been asked of other machines, nor forbidden code been met."""
    contexts: list[Any] = []
    watched: list[Watched] = []
    known = _known_inline_scripts()

    def open_page(width: int = 1280, height: int = 900, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        seen = Watched(page)
        watched.append(seen)
        page.on("request", lambda request: seen.foreign.append(request.url) if _is_foreign(request.url) else None)
        page.on("console", lambda message: seen.violations.append(message.text) if _is_violation(message.text, known) else None)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [url for seen in watched for url in seen.foreign] == []
    assert [text for seen in watched for text in seen.violations] == []


def _is_foreign(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))


def _is_violation(text: str, known: list[str]) -> bool:
    return "Content Security Policy" in text and not any(one in text for one in known)


def _known_inline_scripts() -> list[str]:
    """Hashes of the inline scripts in Streamlit's own page; the browser names the hash of what it blocks."""
    import streamlit

    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    scripts = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", page, re.DOTALL)
    return [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
