"""Every runtime against the plain float32 network; which one is picked; what OpenVINO must not do."""

from __future__ import annotations

import importlib.util
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
from torch._subclasses.fake_tensor import FakeTensorMode

from lipt_stream.engine import runtimes
from lipt_stream.engine.runtimes import TorchRuntime, make_runtime
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.errors import DeviceError, SettingsError
from lipt_stream.model.config import LiptConfig
from lipt_stream.model.lipt import LIPT, deploy
from lipt_stream.observe.process import usable_cores

CPU = torch.device("cpu")
LEAST_PSNR = {"float32": 100, "bfloat16": 40}  # dB below full scale, for the random networks here
HAS_OPENVINO = importlib.util.find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(not HAS_OPENVINO, reason="openvino is not installed")
needs_bfloat16 = pytest.mark.skipif(not runtimes.torch_has_bfloat16(), reason="no bfloat16 on this CPU")
EVERY = [
    pytest.param("torch", "float32"),
    pytest.param("torch", "bfloat16", marks=needs_bfloat16),
    pytest.param("openvino", "float32", marks=needs_openvino),
    pytest.param("openvino", "bfloat16", marks=[needs_openvino, needs_bfloat16]),
]


def random_network(config: LiptConfig, *, deployed: bool = True) -> LIPT:
    """Random weights, their biases too, at torch's own initial scale: outputs stay near the input's range."""
    torch.manual_seed(3)
    return LIPT(config, deployed=deployed).eval()


def plain(network: LIPT, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network(images)


def psnr(result: torch.Tensor, expected: torch.Tensor) -> float:
    return -10 * float((result.double() - expected.double()).square().mean().clamp(min=1e-20).log10())


def on_cpu(network: LIPT, runtime: str, precision: str = "float32", threads: int | None = None) -> runtimes.Runtime:
    return make_runtime(network, device=CPU, precision=precision, runtime=runtime, threads=threads)


def test_an_openvino_that_cannot_be_loaded_is_told_in_words(nano: LIPT, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("lipt_stream.engine.openvino")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "openvino", None)  # its import fails, as it does where a library is missing
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda name: name)
    for ask in (lambda: on_cpu(nano, "auto"), runtimes.openvino_version):
        with pytest.raises(DeviceError, match="OpenVINO is installed but cannot be loaded") as caught:
            ask()
        assert "--runtime torch" in caught.value.hint


@pytest.fixture(scope="module")
def nano() -> LIPT:
    return random_network(LiptConfig.named("nano", 2))


@pytest.fixture(scope="module")
def openvino_nano(nano: LIPT) -> runtimes.Runtime:
    return on_cpu(nano, "openvino")


@pytest.mark.parametrize(("runtime", "precision"), EVERY)
@pytest.mark.parametrize(
    "config",
    [
        LiptConfig(1, channels=16, units=2, shared=1, window=8),
        LiptConfig(2, channels=32, units=6, shared=1, window=8),
        LiptConfig(3, channels=24, units=4, shared=1, window=8),
        LiptConfig(4, channels=16, units=2, shared=0, window=16),
        LiptConfig(2, channels=8, units=6, shared=2, window=4),
    ],
    ids=str,
)
def test_it_computes_what_the_network_computes(config, runtime, precision):
    network = random_network(config)
    run = on_cpu(network, runtime, precision)
    images = torch.rand(1, 3, 37, 53)
    result = run(images)
    assert (run.name, run.precision) == (runtime, precision)
    assert result.dtype == torch.float32
    assert result.shape == (1, 3, 37 * config.scale, 53 * config.scale)
    assert psnr(result, plain(network, images)) > LEAST_PSNR[precision]


@pytest.mark.parametrize(("runtime", "precision"), EVERY)
def test_sizes_may_change_and_return_and_batches_are_images(nano, runtime, precision):
    run = on_cpu(nano, runtime, precision)
    kept = []
    for size in [(1, 1), (7, 9), (40, 24), (7, 9), (33, 31), (40, 24)]:
        images = torch.rand(3, 3, *size)
        kept.append((run(images), plain(nano, images)))
    for result, expected in kept:  # compared only now: a later call must not have written into an earlier result
        assert result.shape == expected.shape
        assert psnr(result, expected) > LEAST_PSNR[precision]


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


@pytest.mark.parametrize(("runtime", "precision"), EVERY)
def test_any_memory_layout_and_dtype_goes_in_and_nothing_is_written_there(nano, runtime, precision):
    run = on_cpu(nano, runtime, precision)
    frame = torch.rand(1, 3, 80, 64)
    views = [
        frame[:, :, 8:48, 8:40],
        frame.to(memory_format=torch.channels_last),
        frame.double(),
        frame.half(),
        frame.clone().requires_grad_(),
    ]
    for view in views:
        before = view.detach().clone()
        assert psnr(run(view), plain(nano, before.float())) > LEAST_PSNR[precision]
        assert torch.equal(view, before)
        assert not run(view).requires_grad


@pytest.mark.parametrize("runtime", ["torch", pytest.param("openvino", marks=needs_openvino)])
def test_the_training_form_is_taken_and_left_as_it_was(runtime):
    model = random_network(LiptConfig.named("nano", 2), deployed=False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run = on_cpu(model, runtime, "auto")
    images = torch.rand(1, 3, 24, 24)
    assert psnr(run(images), plain(deploy(model), images)) > LEAST_PSNR["bfloat16"]
    assert not model.deployed
    for name, value in model.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("threads", [0, 1_000_000, 1.5, "2", True])
def test_threads_that_no_machine_has_are_refused(nano, threads):
    """torch would end the whole process where the system has none left."""
    with pytest.raises(SettingsError, match="Use 1 to 1024"):
        on_cpu(nano, "torch", threads=threads)


@pytest.mark.parametrize("runtime", ["torch", pytest.param("openvino", marks=needs_openvino)])
@pytest.mark.parametrize("threads", [1, 2, None])
def test_threads_change_nothing_in_the_result(nano, runtime, threads):
    before = torch.get_num_threads()
    try:
        run = on_cpu(nano, runtime, threads=threads)
        if runtime == "torch" and threads:
            assert torch.get_num_threads() == threads
        images = torch.rand(1, 3, 40, 48)
        assert psnr(run(images), plain(nano, images)) > LEAST_PSNR["float32"]
    finally:
        torch.set_num_threads(before)


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


@pytest.mark.parametrize("runtime", ["torch", pytest.param("openvino", marks=needs_openvino)])
def test_one_thread_computes_one_frame_at_once(nano, runtime):
    before = torch.get_num_threads()
    try:
        assert on_cpu(nano, runtime, threads=1).at_once == 1
    finally:
        torch.set_num_threads(before)


def test_float32_is_not_rounded_to_tf32_and_the_hosts_switches_are_left_alone():
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, cudnn.benchmark, cudnn.enabled
    with runtimes.without_tf32():
        assert (cudnn.allow_tf32, cudnn.benchmark, cudnn.enabled) == (False, *before[1:])
    assert (cudnn.allow_tf32, cudnn.benchmark, cudnn.enabled) == before


def test_a_gpus_attention_is_torchs_own_and_the_hosts_switch_is_left_alone(nano):
    """cuDNN's, which torch from 2.11 on would take on Hopper, stops for every new size. Pictures on a GPU by name."""
    seen: list[bool] = []

    def network(images: torch.Tensor) -> torch.Tensor:
        seen.append(torch.backends.cuda.cudnn_sdp_enabled())
        return images

    run = TorchRuntime(nano, CPU, "float32")
    run._network = network  # type: ignore[assignment]
    with FakeTensorMode():
        for host in (True, False):
            torch.backends.cuda.enable_cudnn_sdp(host)
            run(torch.empty(1, 3, 8, 8, device="cuda"))
            assert torch.backends.cuda.cudnn_sdp_enabled() is host
            torch.backends.cuda.enable_cudnn_sdp(True)
    assert seen == [False, False]


SWITCHES = """
import os
import torch
from lipt_stream.engine.runtimes import without_tf32

def holds(said):
    exec(said)
    conv = torch.backends.cudnn.conv
    before = conv.fp32_precision
    for _ in range(2):
        with without_tf32():
            assert conv.fp32_precision in ("ieee", "none"), (said, conv.fp32_precision)
        assert conv.fp32_precision == before, said

for said in (
    'torch.backends.cudnn.conv.fp32_precision = "ieee"',
    'torch.backends.cudnn.conv.fp32_precision = "tf32"',
    'torch.backends.fp32_precision = "tf32"',
    "torch.backends.cudnn.allow_tf32 = False",
):
    child = os.fork()
    if not child:
        holds(said)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="torch before 2.9")
@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_float32_is_exact_whatever_switches_of_torch_the_host_has_set():
    # Apart: these switches are the whole process's.
    done = subprocess.run([sys.executable, "-c", SWITCHES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


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


def test_openvino_is_picked_where_it_is_installed(nano):
    assert on_cpu(nano, "auto").name == ("openvino" if HAS_OPENVINO else "torch")


def test_torch_is_the_floor_where_openvino_is_not_installed(nano, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else find_spec(name))
    assert on_cpu(nano, "auto").name == "torch"
    with pytest.raises(SettingsError, match="not installed"):
        on_cpu(nano, "openvino")


@pytest.mark.parametrize("runtime", ["torch", pytest.param("openvino", marks=needs_openvino)])
def test_auto_precision_is_what_the_cpu_has(nano, runtime):
    expected = "bfloat16" if runtimes.torch_has_bfloat16() else "float32"
    assert on_cpu(nano, runtime, "auto").precision == expected


def test_what_makes_no_sense_is_refused(nano, monkeypatch):
    with pytest.raises(SettingsError, match="float16 is for GPUs"):
        on_cpu(nano, "torch", "float16")
    with pytest.raises(SettingsError, match="threads is 0"):
        on_cpu(nano, "torch", threads=0)
    with pytest.raises(SettingsError, match="does not run on cuda"):
        make_runtime(nano, device=torch.device("cuda"), precision="auto", runtime="openvino", threads=None)
    monkeypatch.setattr(runtimes, "torch_has_bfloat16", lambda: False)
    assert on_cpu(nano, "torch", "auto").precision == "float32"
    with pytest.raises(DeviceError, match="no bfloat16"):
        on_cpu(nano, "torch", "bfloat16")


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


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "computed"), [("auto", "float16"), ("float32", "float32")])
def test_a_gpu_computes_the_same(nano, precision, computed):
    device = torch.device("cuda")
    run = make_runtime(nano, device=device, precision=precision, runtime="auto", threads=None)
    images = torch.rand(2, 3, 45, 67)
    result = run(images.to(device, torch.float16 if computed == "float16" else torch.float32))
    assert isinstance(run, TorchRuntime)
    assert (result.device.type, result.dtype, run.precision) == ("cuda", torch.float32, computed)
    assert psnr(result.cpu(), plain(nano, images)) > (50 if computed == "float16" else 60)
