"""OpenVINO at any size and in many threads; what it keeps, and what it must not do."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lipt_stream.engine import runtimes
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.errors import DeviceError
from lipt_stream.model.config import LiptConfig
from lipt_stream.model.lipt import LIPT
from lipt_stream.observe.process import usable_cores
from tests.engine.plain_network import LEAST_PSNR, needs_openvino, on_cpu, plain, psnr, random_network


@pytest.fixture(scope="module")
def nano() -> LIPT:
    return random_network(LiptConfig.named("nano", 2))


@pytest.fixture(scope="module")
def openvino_nano(nano: LIPT) -> runtimes.Runtime:
    return on_cpu(nano, "openvino")


@needs_openvino
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_openvino_agrees_at_any_size(nano, openvino_nano, height, width):
    images = torch.rand(1, 3, height, width)
    assert psnr(openvino_nano(images), plain(nano, images)) > LEAST_PSNR["float32"]


@needs_openvino
@pytest.mark.parametrize(("scattered", "sampled_values"), [(True, False), (False, True), (True, True)])
def test_openvino_knows_the_variants_of_attention(scattered, sampled_values):
    torch.manual_seed(3)
    config = LiptConfig(2, 8, 4, 1, 8, scattered=scattered, sampled_values=sampled_values)
    network, images = LIPT(config, deployed=True).eval(), torch.rand(1, 3, 30, 41)
    run = on_cpu(network, "openvino", "float32")
    assert psnr(run(images), plain(network, images)) > LEAST_PSNR["float32"]


@needs_openvino
def test_openvino_uses_the_threads_it_was_given(nano):
    from lipt_stream.engine.openvino_runtime import OpenVinoRuntime

    run = OpenVinoRuntime(nano, "float32", threads=1)
    run(torch.rand(1, 3, 16, 16))
    (idle,) = run._idle.values()
    compiled = idle.get().get_compiled_model()
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert compiled.get_property("ENABLE_CPU_PINNING") is False


@needs_openvino
def test_openvino_keeps_few_sizes_and_the_latest_ones(nano):
    from lipt_stream.engine.openvino_runtime import MAX_COMPILED, OpenVinoRuntime

    run = OpenVinoRuntime(nano, "float32", threads=1)
    for side in (8, 16, 24, 32, 40, 16, 48):
        run(torch.rand(1, 3, side, side))
    assert len(run._idle) == MAX_COMPILED
    assert list(run._idle) == [(side, side, 1) for side in (32, 40, 16, 48)]


@needs_openvino
def test_openvino_keeps_no_other_size_where_memory_is_short(nano, monkeypatch):
    """Films of a folder, one after the other: tiles were cut by what was free before the first of them."""
    from lipt_stream.engine import openvino_runtime

    run = openvino_runtime.OpenVinoRuntime(nano, "float32", threads=1)
    monkeypatch.setattr(openvino_runtime, "fitting_pixels", lambda *_: 32 * 32)
    for side in (16, 24, 40):
        run(torch.rand(1, 3, side, side))
        kept = list(run._idle)
    assert kept == [(40, 40, 1)]
    run(torch.rand(1, 3, 8, 8))
    assert list(run._idle) == [(40, 40, 1), (8, 8, 1)]


@needs_openvino
def test_openvino_that_failed_to_prepare_a_size_is_asked_again(nano):
    from lipt_stream.engine.openvino_runtime import OpenVinoRuntime

    run = OpenVinoRuntime(nano, "float32", threads=1)
    core, images = run._core, torch.rand(1, 3, 16, 16)
    run._core = SimpleNamespace(compile_model=lambda *_: SimpleNamespace(create_infer_request=_out_of_memory))
    with pytest.raises(MemoryError):
        run(images)
    run._core = core
    results: list[torch.Tensor] = []
    thread = threading.Thread(target=lambda: results.append(run(images)), daemon=True)
    thread.start()
    thread.join(timeout=30)
    assert [tuple(result.shape) for result in results] == [(1, 3, 32, 32)], "it waits for ever"


def _out_of_memory() -> None:
    raise MemoryError("bad allocation")


@needs_openvino
def test_a_frame_in_tiles_whose_sides_are_no_multiples_is_compiled_once(monkeypatch):
    from lipt_stream.engine import openvino_runtime

    built: list[tuple[int, int]] = []
    build_graph = openvino_runtime.build_graph

    def counting(network: LIPT, height: int, width: int) -> object:
        built.append((height, width))
        return build_graph(network, height, width)

    monkeypatch.setattr(openvino_runtime, "build_graph", counting)
    upscaler = Upscaler.load("nano-x2", device="cpu", runtime="openvino", precision="float32", tile=112)
    assert upscaler.plan(219, 243).count > 4
    for _ in range(3):
        upscaler(torch.rand(1, 3, 219, 243))
    assert built == [(112, 112)]


@needs_openvino
@pytest.mark.skipif(usable_cores() < 2, reason="one core has no parts")
def test_two_calls_go_on_at_the_same_time_each_on_its_part_of_the_cores(nano):
    from lipt_stream.engine.openvino_runtime import OpenVinoRuntime

    run = OpenVinoRuntime(nano, "float32", threads=2)
    assert run.at_once == 2
    images = torch.rand(1, 3, 40, 64)
    assert psnr(run(images, run.at_once), plain(nano, images)) > LEAST_PSNR["float32"]
    (idle,) = run._idle.values()
    first, second = idle.get(timeout=1), idle.get(timeout=1)
    assert first.get_compiled_model().get_property("NUM_STREAMS") == 2
    idle.put(second)  # the first is taken, as by a call that goes on
    assert psnr(run(images, run.at_once), plain(nano, images)) > LEAST_PSNR["float32"]
    idle.put(first)


@needs_openvino
def test_openvino_runs_in_another_thread_and_lets_python_go_on(nano):
    run = on_cpu(nano, "openvino", threads=1)
    images = torch.rand(1, 3, 360, 640)
    run(images)
    results: list[torch.Tensor] = []
    worker = threading.Thread(target=lambda: results.append(run(images)))
    steps = 0
    worker.start()
    while worker.is_alive():
        steps += 1
        worker.join(0.001)
    assert psnr(results[0], plain(nano, images)) > LEAST_PSNR["float32"]
    assert steps > 3, "Python's lock was held during inference"


@needs_openvino
def test_two_threads_may_share_a_runtime(nano):
    run = on_cpu(nano, "openvino", threads=1)
    inputs = [torch.rand(1, 3, 24 + 8 * k, 32) for k in range(4)]
    results: dict[int, torch.Tensor] = {}
    workers = [
        threading.Thread(target=lambda k=k: results.__setitem__(k, run(inputs[k])), daemon=True) for k in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    for k, images in enumerate(inputs):
        assert psnr(results[k], plain(nano, images)) > LEAST_PSNR["float32"]


@needs_openvino
def test_openvinos_failures_become_ours(nano):
    from lipt_stream.engine.openvino_runtime import OpenVinoRuntime

    run = OpenVinoRuntime(nano, "float32", threads=1)
    run._options["INFERENCE_PRECISION_HINT"] = "no such precision"
    with pytest.raises(DeviceError, match="OpenVINO failed on 16x8 pixels") as caught:
        run(torch.rand(1, 3, 8, 16))
    assert "\n" not in str(caught.value)
    assert "--runtime torch" in caught.value.hint


@needs_openvino
def test_openvino_neither_reports_nor_writes_nor_warns(tmp_path):
    """A whole run in a fresh process whose home is empty, with connections audited and warnings as errors."""
    script = textwrap.dedent("""
        import sys, threading
        seen = []
        sys.addaudithook(lambda event, args: seen.append(event) if event.startswith("socket.") else None)
        import torch
        from lipt_stream.engine.runtimes import make_runtime
        from lipt_stream.model.config import LiptConfig
        from lipt_stream.model.lipt import LIPT
        threads_before = threading.active_count()
        network = LIPT(LiptConfig.named("nano", 2), deployed=True)
        run = make_runtime(network, device=torch.device("cpu"), precision="auto", runtime="openvino", threads=1)
        run(torch.rand(1, 3, 24, 24))
        assert run.name == "openvino"
        assert not [name for name in sys.modules if name.startswith("openvino_telemetry")], "telemetry was imported"
        assert threading.active_count() == threads_before
        assert not [event for event in seen if event in ("socket.connect", "socket.getaddrinfo")], seen
    """)
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
