"""/metrics: the newest line of statistics as Prometheus text, in base units, named by Prometheus's conventions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from lipt_stream.live.control import Controls
from lipt_stream.live.sink import SinkState
from lipt_stream.live.stats import DropReason

MIB: Final = 2**20
_SINK_STATES: Final = get_args(SinkState)
_NO_DROPS: Final = dict.fromkeys(get_args(DropReason), 0)
Labels = dict[str, str]
Samples = list[tuple[Labels, object]]


class Metrics:
    """The route's handler, with a registry of its own: nothing of this process but what the session tells."""

    def __init__(self, controls: Controls) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(SessionCollector(controls))

    def respond(self, _: Request) -> Response:
        return Response(generate_latest(self._registry), headers={"content-type": CONTENT_TYPE_LATEST})


class SessionCollector(Collector):
    """Reads `Controls.stats()` when it is scraped. A figure that is not known yet is left out."""

    def __init__(self, controls: Controls) -> None:
        self._controls = controls

    def describe(self) -> Iterable[Metric]:
        return ()  # so that registering does not ask the session

    def collect(self) -> Iterable[Metric]:
        stats: Mapping[str, Any] = self._controls.stats()
        yield from _pace(stats)
        yield _gauge(
            "rung",
            "1 for the rung of the ladder that runs.",
            [({"rung": _as_text(name)}, name == stats["rung"]) for name in self._controls.models if name != "auto"],
        )
        yield from _source(stats["source"])
        yield from _sinks(stats["sinks"])
        if stats["gpu"] is not None:
            yield from _gpu(stats["gpu"])


def _pace(stats: Mapping[str, Any]) -> Iterable[Metric]:
    latencies = ((quantile, f"latency_p{quantile[2:].ljust(2, '0')}_ms") for quantile in ("0.5", "0.95", "0.99"))
    yield _gauge(
        "latency_seconds",
        "From a picture's arrival, decoded, until it is handed to the sinks; quantiles of the last 10 s.",
        [({"quantile": quantile}, _times(stats[field], 1e-3)) for quantile, field in latencies],
    )
    yield _gauge("input_frames_per_second", "Pictures that came.", [({}, stats["fps_in"])])
    yield _gauge("output_frames_per_second", "Pictures that went out.", [({}, stats["fps_out"])])
    yield _gauge("target_frames_per_second", "Pictures that should go out.", [({}, stats["fps_target"])])
    yield _counter(
        "dropped_frames",
        "Pictures that were let go, by reason.",
        # Each from the beginning: of what begins at its first count, `increase` sees nothing.
        [({"reason": reason}, count) for reason, count in (_NO_DROPS | dict(stats["dropped_by_reason"])).items()],
    )
    yield _counter("damaged_frames", "Pictures and packets that were damaged.", [({}, stats["frames_damaged"])])
    yield _counter("dropped_sound_packets", "Packets of sound that were let go.", [({}, stats["sounds_dropped"])])
    yield _gauge("reused_tiles_ratio", "Share of tiles that were not computed anew.", [({}, stats["reused"])])
    yield _gauge("pinned", "1 where the rung was chosen by hand.", [({}, stats["pinned"])])
    yield _gauge("paused", "1 while paused.", [({}, stats["paused"])])
    yield _gauge("recording", "1 while a recording is written.", [({}, stats["recording"] is not None)])
    yield _gauge("resident_memory_bytes", "Resident memory of the process.", [({}, _times(stats["rss_mb"], MIB))])


def _source(source: Mapping[str, Any]) -> Iterable[Metric]:
    yield _gauge("source_up", "1 while the source delivers.", [({}, source["state"] == "live")])
    yield _counter("source_faults", "Times that the source failed.", [({}, source["faults"])])
    yield _counter("source_reconnects", "Times that the source came back.", [({}, source["reconnects"])])


def _sinks(sinks: Iterable[Mapping[str, Any]]) -> Iterable[Metric]:
    named = _unlike_names(sinks)
    yield _gauge(
        "sink_state",
        "1 for the state that the sink is in.",
        [
            ({"sink": name, "state": state}, state == sink["state"])
            for name, sink in named.items()
            for state in _SINK_STATES
        ],
    )
    for field, words in (
        ("delivered", "Packets of pictures that the sink handed on."),
        ("dropped", "Packets of pictures that the sink let go."),
    ):
        yield _counter(f"sink_{field}_packets", words, [({"sink": name}, s[field]) for name, s in named.items()])
    yield _counter(
        "sink_restarts",
        "Times that the sink was started again.",
        [({"sink": name}, sink["restarts"]) for name, sink in named.items()],
    )


def _gpu(gpu: Mapping[str, Any]) -> Iterable[Metric]:
    of: Labels = {"gpu": gpu["name"]}
    yield _gauge("gpu_utilization_ratio", "Load of the GPU, 0 to 1.", [(of, _times(gpu["utilization_percent"], 0.01))])
    yield _gauge("gpu_memory_used_bytes", "Of all processes.", [(of, _times(gpu["memory_used_mb"], MIB))])
    yield _gauge("gpu_temperature_celsius", "Temperature of the GPU.", [(of, gpu["temperature_c"])])
    yield _gauge("gpu_power_watts", "What the GPU draws.", [(of, gpu["power_watts"])])
    yield _gauge(
        "gpu_throttled",
        "1 for each reason that holds the GPU's clock down.",
        [({**of, "reason": reason}, 1) for reason in gpu["throttle_reasons"]],
    )


def _as_text(name: str) -> str:
    """Bytes of a file's name that are not UTF-8 are spelt out."""
    return name.encode(errors="backslashreplace").decode()


def _unlike_names(sinks: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Sinks by name; the second of one name gets a number, because two samples of the same labels are no metrics."""
    named: dict[str, Mapping[str, Any]] = {}
    for sink in sinks:
        number = sum(1 for other in named.values() if other["name"] == sink["name"])
        name = _as_text(sink["name"])
        named[f"{name} #{number + 1}" if number else name] = sink
    return named


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _gauge(name: str, words: str, samples: Samples) -> Metric:
    labels = list(samples[0][0]) if samples else []
    family = GaugeMetricFamily(f"lipt_stream_{name}", words, labels=labels)
    for values, figure in samples:
        if figure is not None:
            family.add_metric(list(values.values()), float(figure))  # type: ignore[arg-type]
    return family


def _counter(name: str, words: str, samples: Samples) -> Metric:
    labels = list(samples[0][0]) if samples else []
    family = CounterMetricFamily(f"lipt_stream_{name}", words, labels=labels)
    for values, figure in samples:
        family.add_metric(list(values.values()), float(figure))  # type: ignore[arg-type]
    return family
