"""The wheel: it carries everything, and works in an environment of its own, far from the checkout.

Its environment borrows the packages that ours has installed, but never our own: those must come out of the wheel. With
AGRI_FULL_WHEEL_TEST=1 it borrows nothing and installs everything that constraints.txt pins, which takes minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("agri_llm", "knowledge_base", "training", "ui")
FULL = os.environ.get("AGRI_FULL_WHEEL_TEST") == "1"
TO_NAME_A_FEW = (
    "agri_llm/py.typed",
    "agri_llm/phrases/zh.json",
    "agri_llm/migrations/env.py",
    "agri_llm/migrations/versions/0001_first_tables.py",
    "agri_llm/migrations/versions/0002_kept_photos.py",
    "knowledge_base/terms.csv",
    "knowledge_base/corpus/vectors.safetensors",
    "knowledge_base/corpus/en/potato-late-blight.md",
    "ui/locales/en.json",
    "ui/locales/zh.json",
    "ui/.streamlit/config.toml",
)


def run(command: list[str | Path], folder: Path, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program away from the checkout, with none of our settings and no way back to our packages."""
    ours = ("AGRI_", "PYTHON", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    if home is not None:
        environment["AGRI_HOME"] = str(home)
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, because a build leaves its traces beside them."""
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    built = run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", source / "dist", "."], source)
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = (source / "dist").glob("agri-*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel in it; returns its folder of programs."""
    folder = tmp_path_factory.mktemp("elsewhere") / "env"
    venv.create(folder, with_pip=FULL, symlinks=os.name != "nt")
    programs = folder / "bin"
    pip: list[str | Path] = [sys.executable, "-m", "pip", f"--python={programs / 'python'}", "install", "--quiet"]
    if FULL:
        installed = run([*pip, "-c", ROOT / "constraints.txt", wheel], folder)
    else:
        installed = run([*pip, "--no-deps", "--no-index", wheel], folder)
        # A line in a .pth file adds a folder without reading the .pth files in it: our editable install stays out.
        site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
        (site / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    assert installed.returncode == 0, installed.stdout + installed.stderr
    return programs


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    files = {
        path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {path.relative_to(ROOT).as_posix() for path in files} <= held
    assert set(TO_NAME_A_FEW) <= held
    assert any(name.endswith("licenses/LICENSE") for name in held)


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_the_packages_in_use_are_those_of_the_wheel(environment: Path, tmp_path: Path) -> None:
    imports = f"import {', '.join(PACKAGES)}; print(*({', '.join(f'{name}.__file__' for name in PACKAGES)}), sep='\\n')"
    said = run([environment / "python", "-c", imports], tmp_path)
    assert said.returncode == 0, said.stderr
    assert len(said.stdout.split()) == len(PACKAGES)
    for file in said.stdout.split():
        assert Path(file).is_relative_to(environment.parent)


@pytest.mark.timeout(1800)
def test_a_question_is_answered_far_from_the_checkout(environment: Path, tmp_path: Path) -> None:
    question = "How do I manage late blight in potato?"
    said = run([environment / "agri", "ask", "--json", question], tmp_path, home=tmp_path / "home")
    assert said.returncode == 0, said.stderr
    (line,) = said.stdout.splitlines()
    answer = json.loads(line)
    assert answer["kind"] == "advice"
    assert "blight" in answer["text"]
    assert any("potato-late-blight" in json.dumps(citation) for citation in answer["citations"])
    assert list(tmp_path.iterdir()) == [tmp_path / "home"]
