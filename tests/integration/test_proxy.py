"""The sample proxy, deploy/nginx.conf, in a real nginx before a small server that tells what reached it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.client import HTTPSConnection, RemoteDisconnected
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SAMPLE = Path(__file__).resolve().parents[2] / "deploy/nginx.conf"
HOST = "agri.example.org"


class Page(BaseHTTPRequestHandler):
    """Answers every request with its own path and headers."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.dumps({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def configuration(folder: Path, page: int, secure: int, plain: int) -> Path:
    """The sample with this test's ports and certificate, inside the few lines that Debian's own file puts around it."""
    sample = SAMPLE.read_text(encoding="utf-8")
    for found, put in (
        ("127.0.0.1:8501", f"127.0.0.1:{page}"),
        ("listen 443 ", f"listen 127.0.0.1:{secure} "),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("/etc/ssl/agri/", f"{folder}/"),
    ):
        assert found in sample
        sample = sample.replace(found, put)
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    file = folder / "nginx.conf"
    user = "user root; " if os.geteuid() == 0 else ""  # or the folder of this test would be closed to nginx
    file.write_text(
        f"{user}daemon off; pid {folder}/pid; error_log {folder}/log; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{sample}\n}}",
        encoding="utf-8",
    )
    return file


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """A running nginx; yields its HTTPS and its HTTP port."""
    if not (shutil.which("nginx") and shutil.which("openssl")):
        sentence = "nginx or openssl is not installed, so the sample proxy was not tried."
        pytest.fail(sentence) if os.environ.get("CI") == "true" else pytest.skip(sentence)
    folder = tmp_path_factory.mktemp("proxy")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(folder / "privkey.pem")]
    certificate = ["-x509", "-out", str(folder / "fullchain.pem"), "-days", "2", "-subj", f"/CN={HOST}"]
    subprocess.run(["openssl", "req", *key, *certificate], capture_output=True, check=True)
    page = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    secure, plain = free_port(), free_port()
    file = configuration(folder, page.server_port, secure, plain)
    nginx = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(file)], stderr=subprocess.PIPE, text=True)
    try:
        wait_for(secure, nginx)
        yield secure, plain
    finally:
        nginx.terminate()
        nginx.wait(timeout=10)
        page.shutdown()
        page.server_close()


def wait_for(port: int, nginx: subprocess.Popen[str]) -> None:
    for _ in range(100):
        with socket.socket() as connection:
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert nginx.poll() is None, nginx.communicate()[1]
        time.sleep(0.1)
    pytest.fail("nginx did not open its port within ten seconds")


def ask(port: int, path: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> tuple[int, dict[str, str]]:
    """Ask for a path; returns the status and, from the page, what reached it."""
    connection = HTTPSConnection("127.0.0.1", port, context=ssl._create_unverified_context(), timeout=10)
    try:
        connection.request("POST" if body else "GET", path, body=body, headers={"Host": HOST, **(headers or {})})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if answer.status == 200 else {}
    finally:
        connection.close()


def test_the_page_learns_who_asks_and_that_it_stands_behind_https(proxy: tuple[int, int]) -> None:
    status, reached = ask(proxy[0], "/", {"X-Forwarded-For": "203.0.113.9"})
    assert status == 200
    assert (reached["host"], reached["x-forwarded-proto"]) == (HOST, "https")
    assert reached["x-forwarded-for"] == "127.0.0.1", "what a visitor claims about the address is not passed on"


def test_streams_are_passed_on_from_our_own_page_alone(proxy: tuple[int, int]) -> None:
    stream = {"Upgrade": "websocket", "Connection": "Upgrade"}
    status, reached = ask(proxy[0], "/_stcore/stream", {**stream, "Origin": f"https://{HOST}"})
    assert (status, reached["upgrade"], reached["connection"]) == (200, "websocket", "upgrade")
    assert ask(proxy[0], "/_stcore/stream", {**stream, "Origin": "https://evil.example"})[0] == 403
    assert ask(proxy[0], "/_stcore/stream", stream)[0] == 403


def test_the_numbers_of_the_server_are_not_for_everybody(proxy: tuple[int, int]) -> None:
    assert ask(proxy[0], "/_stcore/metrics")[0] == 404


def test_a_file_over_ten_megabytes_is_refused(proxy: tuple[int, int]) -> None:
    assert ask(proxy[0], "/upload", {"Content-Length": str(12 * 2**20), "Expect": "100-continue"})[0] == 413
    assert ask(proxy[0], "/upload", body=b"x" * 2**20)[0] == 200


def test_another_host_name_gets_no_answer(proxy: tuple[int, int]) -> None:
    with pytest.raises(RemoteDisconnected):
        ask(proxy[0], "/", {"Host": "evil.example"})


def test_plain_http_is_sent_to_https(proxy: tuple[int, int]) -> None:
    with socket.create_connection(("127.0.0.1", proxy[1]), timeout=10) as connection:
        connection.sendall(f"GET /x HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        answer = connection.makefile().read()
    assert answer.startswith("HTTP/1.1 301")
    assert re.search(rf"(?m)^Location: https://{HOST}/x$", answer)
