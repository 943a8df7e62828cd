"""The bar chart of `lipt-stream bench --chart`."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from lipt_stream.errors import OutputError, SettingsError
from lipt_stream.stream.bench_case import BenchCase

COLOURS = {"decode": "#4c78a8", "upload": "#72b7b2", "network": "#e45756", "download": "#54a24b", "encode": "#f2a541"}
SUFFIXES: Final = (".png", ".svg", ".pdf")


def check_chart(path: Path) -> None:
    """Raises SettingsError or OutputError where no chart can be written to `path`: before minutes of measuring."""
    if importlib.util.find_spec("matplotlib") is None:
        raise SettingsError("--chart needs matplotlib", "In the checkout: .venv/bin/pip install -e '.[plots]'")
    if path.suffix.lower() not in SUFFIXES:
        raise SettingsError(f"--chart {path} is no picture that can be drawn", f"End its name in {', '.join(SUFFIXES)}")
    if path.is_dir():
        raise OutputError(f"The chart {path} cannot be written (it is a folder)", "Name a file")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise OutputError(f"The chart {path} cannot be written ({error.strerror})", "Check its folder") from error


def draw_chart(cases: Sequence[BenchCase], path: Path) -> None:
    """One group of bars for each case: milliseconds a frame of each stage alone, and of all together."""
    from matplotlib.figure import Figure  # an extra, and slow to import: only where a chart is wanted

    stages = list(cases[0].stages_alone_ms)
    figure: Any = Figure(figsize=(2.5 + 2.8 * len(cases), 4.5), layout="constrained")
    axes: Any = figure.add_subplot()  # matplotlib's methods are only partly typed
    width = 0.8 / (len(stages) + 1)
    for number, stage in enumerate(stages):
        places = [group + number * width for group in range(len(cases))]
        heights = [case.stages_alone_ms[stage] for case in cases]
        axes.bar(places, heights, width, label=f"{stage} alone", color=COLOURS.get(stage))
    places = [group + len(stages) * width for group in range(len(cases))]
    bars = axes.bar(places, [1000 / case.fps for case in cases], width, label="all together", color="#333333")
    axes.bar_label(bars, [f"{case.fps:.1f} fps" for case in cases], padding=2, fontsize=8)
    for name, target in ((name, float(name)) for name in cases[0].verdicts):
        axes.axhline(1000 / target, linewidth=0.8, linestyle="--", color="#999999")
        axes.annotate(f"{name} fps", (1.0, 1000 / target), xycoords=("axes fraction", "data"), fontsize=7, va="bottom")
    axes.set_xticks([group + 0.4 for group in range(len(cases))], [f"{c.source}\n-> {c.target}" for c in cases])
    axes.set_yscale("log")
    axes.set_ylabel("milliseconds a frame (log)")
    axes.legend(fontsize=8)
    try:
        figure.savefig(path, dpi=130)
    except OSError as error:
        raise OutputError(
            f"The chart {path} cannot be written ({error.strerror})", "Check its folder and the disk"
        ) from error
