"""The wheel brings everything the program needs: weights, presets, kernels, types."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def test_the_wheel_holds_weights_presets_and_kernels(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    index = tomllib.loads((REPOSITORY / "weights" / "index.toml").read_text())
    files = {path.name for path in (REPOSITORY / "weights").glob("*.safetensors")}
    assert files
    assert {f"lipt_stream/weights/{name}" for name in files} | {"lipt_stream/weights/index.toml"} <= names
    assert all(name in str(index) for name in files)
    presets = {f"lipt_stream/pipelines/{path.name}" for path in (REPOSITORY / "pipelines").glob("*.toml")}
    assert presets
    assert presets <= names
    assert {"lipt_stream/engine/color.cu", "lipt_stream/py.typed"} <= names
    page = {f"lipt_stream/web/page/{path.name}" for path in (REPOSITORY / "lipt_stream/web/page").iterdir()}
    assert "lipt_stream/web/page/index.html" in page
    assert page <= names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "docs"))]
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    program = (
        "from lipt_stream import Upscaler, load_preset; from lipt_stream.stream.spec import preset_names;"
        "import lipt_stream; print(lipt_stream.__file__, Upscaler.load('nano', device='cpu').scale, preset_names())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path / "installed",
        check=True,
        capture_output=True,
        text=True,
    )
    assert str(tmp_path / "installed") in done.stdout
    assert "balanced" in done.stdout
