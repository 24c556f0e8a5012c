"""`agri data examples`, `preferences`, `replay` and `remove-rater` as a person gives them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def agri(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AGRI_")}
    return subprocess.run(
        [sys.executable, "-m", "ui.cli", *arguments],
        env={**environment, "AGRI_HOME": str(home), "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_from_example_ratings_to_data_and_back_without_one_expert(tmp_path: Path) -> None:
    ratings, data = tmp_path / "ratings.jsonl", tmp_path / "data"
    made = agri(tmp_path, "data", "examples", str(ratings), "--ratings", "40")
    assert made.stdout.startswith("40 comparisons, "), made.stderr
    made = agri(tmp_path, "data", "preferences", str(data), "--from", str(ratings))
    assert made.returncode == 0, made.stderr
    said = json.loads((data / "manifest.json").read_text(encoding="utf-8"))
    assert f"The preference data are in {data}: {said['hash']}." in made.stdout
    made = agri(tmp_path, "data", "replay", str(data), str(tmp_path / "again"))
    assert made.stdout == f"{data} made again is the same: {said['hash']}.\n", made.stderr
    # by the name that the store knows: the hash is that of this installation
    made = agri(tmp_path, "data", "remove-rater", str(data), "simulated-expert-1", str(tmp_path / "fewer"))
    assert made.returncode == 0, made.stderr
    after = json.loads((tmp_path / "fewer" / "manifest.json").read_text(encoding="utf-8"))
    assert len(after["raters"]) == len(said["raters"]) - 1
    made = agri(tmp_path, "data", "remove-rater", str(data), "nobody", str(tmp_path / "none"))
    assert made.returncode == 1
    assert made.stderr.startswith(f"nobody in {data} is ~")
    made = agri(tmp_path, "data", "preferences", str(data), "--from", str(ratings))
    assert made.returncode == 1
    assert made.stderr == f"{data} holds something already: a snapshot is never changed; name a new folder.\n"
