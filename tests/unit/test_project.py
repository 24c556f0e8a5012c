"""The project about itself: what its sheets promise, what its documents name, and how `make` installs."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@cache
def targets() -> set[str]:
    """What can be made, by the Makefile's own list."""
    listed = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed
    return set(listed[1].split())


def named_in(text: str, *, markdown: bool) -> set[str]:
    """The targets that a text tells people or programs to make; prose ("make sure") does not count."""
    if markdown:
        blocks = re.findall(r"^```.*?^```|^ {4}[^\n]+$|`[^`\n]+`", text, re.MULTILINE | re.DOTALL)
        text = "\n".join(block.strip("`") for block in blocks)
    else:
        text = re.sub(r"(?m)^\s*#.*$", "", text)
    return set(re.findall(r"(?:^|[\s;&])make (?:[A-Z_]+=\S+ )*([a-z]+)", text))


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs", "Dockerfile", "compose.yml", ".ci/run"])
def test_every_target_that_is_named_somewhere_exists(name: str) -> None:
    place = ROOT / name
    files = sorted(place.glob("*.md")) if place.is_dir() else [file for file in [place] if file.exists()]
    for file in files:
        assert named_in(file.read_text(encoding="utf-8"), markdown=file.suffix == ".md") <= targets(), file


def test_targets_are_found_where_they_are_named() -> None:
    page = "Use `make bake` and\nmake sure.\n\n    A=1 make fry\n\n```sh\nmake tea\n```\n"
    assert named_in(page, markdown=True) == {"bake", "fry", "tea"}
    assert named_in("# make nothing\nRUN cd x && make A=1 bake", markdown=False) == {"bake"}


@needs_make
def test_make_alone_shows_every_target(tmp_path: Path) -> None:
    shown = make(checkout(tmp_path))
    assert all(f"make {target}" in shown for target in targets() - {"other-choices"})


def pins(name: str = "constraints.txt") -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"([A-Za-z0-9._-]+)===?([0-9][A-Za-z0-9.]*)", line) for line in lines if not line.startswith("#")]
    assert all(found), "every line is an exact version without a local suffix"
    return {canonicalize_name(match[1]): match[2] for match in found if match}


def needed(requirement: Requirement, seen: set[tuple[str, str]]) -> None:
    """Collect (package, extra) of everything a requirement brings on this machine."""
    name = canonicalize_name(requirement.name)
    for extra in {"", *requirement.extras}:
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for line in metadata.requires(name) or []:
            below = Requirement(line)
            if below.marker is None or below.marker.evaluate({"extra": extra}):
                needed(below, seen)


def test_every_package_that_is_needed_is_pinned_to_the_version_in_use() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    seen: set[tuple[str, str]] = set()
    pinned = pins()
    for line in [*project["dependencies"], *optional["dev"], *optional["postgres"]]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), line
        needed(requirement, seen)
    own_build = {name for name, _ in seen if name.startswith(("nvidia-", "cuda-")) or name in {"triton", "faiss-cpu"}}
    for name in {name for name, _ in seen} - own_build:
        assert pinned.get(name) == metadata.version(name).split("+")[0], f"{name}: run `make setup`, or `make pins`"


def checkout(folder: Path, *, installed: str | None = None) -> Path:
    """A folder that `make` takes for a checkout, with the choices of an earlier setup where there was one."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "constraints-gpu.txt"):
        shutil.copy(ROOT / name, folder)
        os.utime(folder / name, (1, 1))
    if installed is not None:
        (folder / ".venv").mkdir()
        (folder / ".venv/.installed").write_text(installed + "\n", encoding="ascii")
    return folder


def make(folder: Path, *arguments: str) -> str:
    """Run make as a person would, whatever make runs these tests; standard output and errors together."""
    ours = re.compile("MAKE|MFLAGS|EXTRAS|GPU|TORCH_INDEX|PYTHON$")
    environment = {name: value for name, value in os.environ.items() if not ours.match(name)}
    run = subprocess.run(
        ["make", "PYTHON=python3", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return run.stdout + run.stderr


@needs_make
def test_a_setup_for_the_graphics_card_puts_faiss_gpu_in_the_place_of_faiss_cpu(tmp_path: Path) -> None:
    steps = make(checkout(tmp_path), "-n", "setup", "GPU=1")
    all_packages = steps.index("-c constraints.txt -c constraints-gpu.txt  -e '.[dev,gpu]'")
    out = steps.index("uninstall --yes faiss-cpu\n")
    into = steps.index("install --no-deps -c constraints-gpu.txt faiss-gpu ")
    assert all_packages < out < into
    assert pins("constraints-gpu.txt")["faiss-gpu"].split(".")[:2] == pins()["faiss-cpu"].split(".")[:2]
    assert pins("constraints-gpu.txt")["torch"] == pins()["torch"]


@needs_make
def test_a_setup_without_it_brings_faiss_cpu_back(tmp_path: Path) -> None:
    steps = make(checkout(tmp_path, installed="EXTRAS=dev GPU=1 TORCH_INDEX="), "-n", "setup")
    assert steps.index("uninstall --yes faiss-gpu faiss-cpu") < steps.index("-c constraints.txt  -e '.[dev]'")
    assert "constraints-gpu.txt" not in steps


@needs_make
def test_nothing_is_installed_again_while_nothing_changed(tmp_path: Path) -> None:
    folder = checkout(tmp_path, installed="EXTRAS=postgres GPU=1 TORCH_INDEX=")
    assert "pip" not in make(folder, "-n", "run")
    assert "pip" in make(folder, "-n", "run", "EXTRAS=dev")
    assert "'.[postgres,dev,gpu]'" in make(folder, "-n", "test")
    os.utime(folder / "constraints.txt")
    os.utime(folder / ".venv/.installed", (2, 2))
    assert "'.[postgres,gpu]'" in make(folder, "-n", "run")


@needs_make
def test_a_machine_without_a_usable_python_is_told_so_in_one_sentence(tmp_path: Path) -> None:
    said = make(checkout(tmp_path), "setup", "PYTHON=")
    assert "No Python 3.11 or newer was found" in said
    assert not (tmp_path / ".venv").exists()


def test_every_command_has_help_and_stands_in_the_readme() -> None:
    from ui.cli import app, index_app
    from ui.commands.accounts import app as accounts_app
    from ui.commands.canary import app as canary_app
    from ui.commands.data import app as data_app
    from ui.commands.train import app as train_app

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [(command, "agri") for command in app.registered_commands if not command.hidden]
    commands += [(command, "agri index") for command in index_app.registered_commands]
    commands += [(command, "agri accounts") for command in accounts_app.registered_commands]
    commands += [(command, "agri canary") for command in canary_app.registered_commands]
    commands += [(command, "agri data") for command in data_app.registered_commands]
    commands += [(command, "agri train") for command in train_app.registered_commands]
    assert len(commands) >= 10
    for command, group in commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        assert command.callback.__doc__, f"{group} {name} has no help"
        assert f"{group} {name}" in readme, f"{group} {name} does not stand in the README"


def test_every_command_stands_in_the_changelog() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    language = ("sft", "pretrain", "distil", "chain", "plan")
    for command in (
        "data build",
        "data check",
        "data card",
        *(f"train {name}" for name in language),
        "export",
        "evaluate",
        "accounts link",
        "canary begin",
    ):
        assert changes.count(f"`agri {command}") == 1, command


def test_every_module_of_training_stands_once_in_the_architecture_with_what_it_does() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (.*?) ?\| `([a-z_]+\.py)` \| (\S.*) \|$", page, re.MULTILINE)
    assert sorted(name for _, name, _ in lines) == sorted(
        path.name for path in (ROOT / "training").glob("*.py") if path.name != "__init__.py"
    )
    groups = " ".join(group for group, _, _ in lines)
    for command in ("data", "train sft", "train chain", "train plan", "export", "evaluate", "train photos"):
        assert groups.count(f"`agri {command}`") == 1, command


def test_every_benchmark_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """They import from one another, and nothing else would notice that a name is gone."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    scripts = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))
    assert len(scripts) > 8
    for name in scripts:
        importlib.import_module(name)


def test_no_two_files_of_tests_have_one_name() -> None:
    """Pytest takes the second for the first, and says so only when both are collected together."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
