"""/metrics as Prometheus reads it: by its own parser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clock_session import ClockSession
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from lipt_stream.web.app import new_app
from lipt_stream.web.preview import Preview

GPU = {
    "name": "NVIDIA H100",
    "utilization_percent": 37.0,
    "memory_used_mb": 2.0,
    "temperature_c": None,
    "power_watts": 54.5,
    "throttle_reasons": ["power cap"],
}
Labels = frozenset[tuple[str, str]]


def scraped(models: Sequence[str] = (), **changes: Any) -> dict[tuple[str, Labels], float]:
    class Changed(ClockSession):
        def stats(self) -> Mapping[str, object]:
            return {**super().stats(), **changes}

    preview = Preview()
    session = Changed(preview)
    session.models = models or session.models
    answer = TestClient(new_app(session, preview)).get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(answer.text))
    assert all(family.documentation for family in families)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def labels(**those: str) -> Labels:
    return frozenset(those.items())


def test_every_figure_is_there_in_base_units() -> None:
    sinks = [{"name": "hls:out", "state": "retrying", "delivered": 5, "dropped": 2, "restarts": 1, "detail": ""}]
    latencies = {"latency_p50_ms": 50.0, "latency_p95_ms": 80.0, "latency_p99_ms": 120.0}
    samples = scraped(**latencies, gpu=GPU, sinks=sinks, rss_mb=3.0, frames_damaged=4, sounds_dropped=9)
    expected = {
        ("lipt_stream_latency_seconds", labels(quantile="0.5")): 0.05,
        ("lipt_stream_latency_seconds", labels(quantile="0.95")): 0.08,
        ("lipt_stream_latency_seconds", labels(quantile="0.99")): 0.12,
        ("lipt_stream_input_frames_per_second", labels()): 30,
        ("lipt_stream_target_frames_per_second", labels()): 30,
        ("lipt_stream_dropped_frames_total", labels(reason="late")): 12,
        ("lipt_stream_dropped_frames_total", labels(reason="overtaken")): 3,
        ("lipt_stream_dropped_frames_total", labels(reason="behind")): 0,
        ("lipt_stream_damaged_frames_total", labels()): 4,
        ("lipt_stream_dropped_sound_packets_total", labels()): 9,
        ("lipt_stream_reused_tiles_ratio", labels()): 0.42,
        ("lipt_stream_resident_memory_bytes", labels()): 3 * 2**20,
        ("lipt_stream_rung", labels(rung="nano")): 1,
        ("lipt_stream_rung", labels(rung="small")): 0,
        ("lipt_stream_source_up", labels()): 1,
        ("lipt_stream_source_faults_total", labels()): 1,
        ("lipt_stream_source_reconnects_total", labels()): 1,
        ("lipt_stream_sink_state", labels(sink="hls:out", state="retrying")): 1,
        ("lipt_stream_sink_state", labels(sink="hls:out", state="ok")): 0,
        ("lipt_stream_sink_delivered_packets_total", labels(sink="hls:out")): 5,
        ("lipt_stream_sink_dropped_packets_total", labels(sink="hls:out")): 2,
        ("lipt_stream_sink_restarts_total", labels(sink="hls:out")): 1,
        ("lipt_stream_paused", labels()): 0,
        ("lipt_stream_recording", labels()): 0,
        ("lipt_stream_gpu_utilization_ratio", labels(gpu="NVIDIA H100")): 0.37,
        ("lipt_stream_gpu_memory_used_bytes", labels(gpu="NVIDIA H100")): 2 * 2**20,
        ("lipt_stream_gpu_power_watts", labels(gpu="NVIDIA H100")): 54.5,
        ("lipt_stream_gpu_throttled", labels(gpu="NVIDIA H100", reason="power cap")): 1,
    }
    for key, value in expected.items():
        assert abs(samples[key] - value) < 1e-9, key
    assert ("lipt_stream_rung", labels(rung="auto")) not in samples
    assert not [name for name, _ in samples if name == "lipt_stream_gpu_temperature_celsius"], "unknown, so left out"


def test_what_is_not_known_yet_is_left_out() -> None:
    samples = scraped(latency_p50_ms=None, latency_p95_ms=None, latency_p99_ms=None, fps_in=None, dropped={}, sinks=[])
    names = {name for name, _ in samples}
    assert "lipt_stream_latency_seconds" not in names
    assert "lipt_stream_input_frames_per_second" not in names
    assert not [name for name in names if "gpu" in name]
    assert "lipt_stream_output_frames_per_second" in names


def test_two_sinks_of_one_name_are_two() -> None:
    sink = {"name": "null", "state": "ok", "delivered": 5, "dropped": 0, "restarts": 0, "detail": ""}
    samples = scraped(sinks=[sink, {**sink, "delivered": 7}])
    assert samples["lipt_stream_sink_delivered_packets_total", labels(sink="null")] == 5
    assert samples["lipt_stream_sink_delivered_packets_total", labels(sink="null #2")] == 7


def test_odd_names_are_escaped() -> None:
    sink = {"name": 'file "a\\b"\n', "state": "ok", "delivered": 5, "dropped": 0, "restarts": 0, "detail": ""}
    assert scraped(sinks=[sink])["lipt_stream_sink_delivered_packets_total", labels(sink='file "a\\b"\n')] == 5


def test_a_model_in_a_file_whose_name_is_not_utf8_is_spelt_out() -> None:
    name = "caf\udce9.safetensors"
    assert scraped(models=("auto", name), rung=name)["lipt_stream_rung", labels(rung=r"caf\udce9.safetensors")] == 1


def test_without_a_preview_there_are_no_page_and_no_buttons() -> None:
    client = TestClient(new_app(ClockSession(Preview()), None))
    assert client.get("/metrics").status_code == 200
    assert client.get("/").status_code == 404
    assert client.post("/record", json={"recording": True}).status_code == 404


def test_a_name_that_is_not_utf8_is_spelt_out() -> None:
    sink = {"name": "caf\udce9.mkv", "state": "ok", "delivered": 5, "dropped": 2, "restarts": 1, "detail": ""}
    samples = scraped(sinks=[sink, sink])
    assert samples["lipt_stream_sink_delivered_packets_total", labels(sink=r"caf\udce9.mkv")] == 5
    assert samples["lipt_stream_sink_delivered_packets_total", labels(sink=r"caf\udce9.mkv #2")] == 5
