"""Take the pictures in docs/screenshots from the running page: `make screenshots`."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "screenshots"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EARLIER = ("How dry must maize be before I store it?", "How do I control fall armyworm in maize?")
QUESTION = "My tomato leaves have brown spots with rings. What should I do?"


def main() -> None:
    """Start the page with the shipped sheets, ask it what visitors ask, and take one picture for each kind of screen."""
    chromium = shutil.which("chromium") or "/usr/bin/chromium"
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        port = _free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AGRI_", "STREAMLIT_"))}
        environment |= {"AGRI_HOME": home}
        command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "ui" / "asgi.py"), "--server.port", str(port)]
        server = subprocess.Popen(command, cwd=home, env=environment, stdout=subprocess.DEVNULL)
        try:
            _wait_until_up(f"http://127.0.0.1:{port}", server)
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            _take(browser, f"http://127.0.0.1:{port}")
            browser.close()
        finally:
            server.terminate()
            server.wait(timeout=30)
    for picture in sorted(PICTURES.glob("*.png")):
        print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size:,} bytes")


def _take(browser: Browser, url: str) -> None:
    desktop = browser.new_context(viewport={"width": 1280, "height": 860})
    page = desktop.new_page()
    page.goto(url)
    for question in (*EARLIER, QUESTION):
        page.get_by_role("button", name="New chat").click()
        expect(page.locator(".agri-question")).to_have_count(0, timeout=60_000)
        _ask(page, question)
    page.locator(".agri-source summary").first.click()
    page.get_by_test_id("stMain").evaluate("part => part.scrollTo(0, 0)")
    page.mouse.move(640, 500)
    page.wait_for_timeout(500)
    page.screenshot(path=PICTURES / "desktop.png")
    phone = browser.new_context(
        viewport={"width": 360, "height": 740}, device_scale_factor=2, storage_state=desktop.storage_state()
    )
    page_on_phone = phone.new_page()
    page_on_phone.goto(page.url)
    expect(page_on_phone.locator(".agri-source")).not_to_have_count(0)
    page_on_phone.wait_for_timeout(1000)
    page_on_phone.screenshot(path=PICTURES / "phone.png")


def _ask(page: Page, question: str) -> None:
    box = page.get_by_test_id("stChatInputTextArea")
    box.fill(question)
    box.press("Enter")
    expect(page.locator(".agri-question")).to_have_text(question, timeout=60_000)
    expect(page.locator(".agri-sources")).to_have_count(1, timeout=60_000)
    expect(page.locator(".stApp[data-test-script-state=notRunning]")).to_be_attached(timeout=60_000)
    page.wait_for_timeout(500)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_up(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if server.poll() is not None:
            raise SystemExit("The page ended at once; start it by hand with `streamlit run ui/asgi.py` to see why.")
        try:
            urllib.request.urlopen(f"{url}/api/health", timeout=5).read()
        except (urllib.error.URLError, OSError):
            time.sleep(1)
        else:
            return
    raise SystemExit("The page did not start within five minutes.")


if __name__ == "__main__":
    main()
