"""How a live session shows itself: a panel that is drawn anew each second on a terminal, a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from lipt_stream.cli.screen import can_redraw

PLAIN_INTERVAL_SECONDS: Final = 10.0
_COLORS: Final = {"live": "green", "ok": "green", "connecting": "yellow", "starting": "yellow", "retrying": "yellow"}

Stats = Mapping[str, Any]


class LivePanel:
    """Shows each line of statistics, from `start` to `stop`; `say` is for what happens once."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console, self._quiet = console, quiet
        self._live = Live(console=console, auto_refresh=False, transient=True) if can_redraw(console) else None
        self._last_line = -PLAIN_INTERVAL_SECONDS

    def start(self) -> None:
        if self._live and not self._quiet:
            self._live.start()

    def stop(self) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """A line that stays; of a quiet session, an error."""
        if not self._quiet or text.startswith("error: "):
            self._console.print(text, soft_wrap=True, highlight=False, markup=False)
            self._console.file.flush()  # a log is read while the session runs

    def show(self, stats: Stats) -> None:
        if self._quiet:
            return
        if self._live:
            self._live.update(_panel(stats), refresh=True)
        elif time.monotonic() - self._last_line >= PLAIN_INTERVAL_SECONDS:
            self._last_line = time.monotonic()
            self.say(plain_line(stats))


def plain_line(stats: Stats) -> str:
    """One line for logs."""
    sinks = ", ".join(_sink_words(sink) for sink in stats["sinks"])
    return (
        f"{stats['state']}  {stats['fps_out']:.1f} of {stats['fps_in']:.1f} fps  "
        f"latency {whole(stats['latency_p50_ms'])}/{whole(stats['latency_p95_ms'])} ms  {stats['rung']}  "
        f"dropped {stats['dropped']}  reused {100 * stats['reused']:.0f} %  {_memory(stats)}  {sinks}"
    )


def whole(figure: float | None) -> str:
    """A dash where nothing was measured."""
    return "-" if figure is None else f"{figure:.0f}"


def _memory(stats: Stats) -> str:
    return "memory unknown" if stats["rss_mb"] is None else f"{stats['rss_mb']:.0f} MiB"


def _sink_words(sink: Mapping[str, Any]) -> str:
    reason = f" ({sink['detail']})" if sink["state"] != "ok" and sink["detail"] else ""
    return f"{sink['name']} {sink['state']}{reason}"


def _panel(stats: Stats) -> Panel:
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column()
    rows.add_row("source", _state(stats["source"]["name"], stats["source"]["state"], stats["source"]["detail"]))
    target = f" of {stats['fps_target']:.4g}" if stats["fps_target"] else ""
    rows.add_row("rate", f"{stats['fps_out']:.1f}{target} fps out, {stats['fps_in']:.1f} in")
    percentiles = " / ".join(whole(stats[f"latency_{name}_ms"]) for name in ("p50", "p95", "p99"))
    rows.add_row("latency", f"{percentiles} ms (p50 / p95 / p99)")
    pinned = ", pinned" if stats["pinned"] else ""
    rows.add_row("network", Text.assemble(f"{stats['rung']}{pinned}  ", (stats["rung_reason"], "dim")))
    drops = ", ".join(f"{count} {reason}" for reason, count in stats["dropped_by_reason"].items()) or "none"
    rows.add_row("dropped", f"{drops}   reused {100 * stats['reused']:.0f} % of tiles")
    rows.add_row("memory", f"{_memory(stats)}{_gpu(stats['gpu'])}")
    for sink in stats["sinks"]:
        rows.add_row("to", _state(sink["name"], sink["state"], sink["detail"]))
    if stats["recording"]:
        rows.add_row("recording", Text(str(stats["recording"])))
    return Panel(rows, title="lipt-stream live", title_align="left", expand=False)


def _state(name: str, state: str, detail: str) -> Text:
    return Text.assemble(f"{name}  ", (state, _COLORS.get(state, "red")), (f"  {detail}" if detail else "", "dim"))


def _gpu(gpu: Mapping[str, Any] | None) -> str:
    if not gpu:
        return ""
    figures = [
        (gpu["utilization_percent"], "{:.0f} % busy"),
        (gpu["memory_used_mb"], "{:.0f} MiB"),
        (gpu["temperature_c"], "{:.0f} °C"),
        (gpu["power_watts"], "{:.0f} W"),
    ]
    known = [form.format(value) for value, form in figures if value is not None]
    held = f", held back by {', '.join(gpu['throttle_reasons'])}" if gpu["throttle_reasons"] else ""
    return f"   {gpu['name']}: {', '.join(known)}{held}"
