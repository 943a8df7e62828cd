"""Every runtime against the plain float32 network."""

from __future__ import annotations

import threading

import pytest
import torch

from lipt_stream.engine.one_thread import one_thread, threads_here
from lipt_stream.engine.runtimes import TorchRuntime, make_runtime
from lipt_stream.model.config import LiptConfig
from lipt_stream.model.lipt import LIPT, deploy
from tests.engine.plain_network import EVERY, LEAST_PSNR, needs_openvino, on_cpu, plain, psnr, random_network


@pytest.fixture(scope="module")
def nano() -> LIPT:
    return random_network(LiptConfig.named("nano", 2))


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


@pytest.mark.parametrize("runtime", ["torch", pytest.param("openvino", marks=needs_openvino)])
@pytest.mark.parametrize("threads", [1, 2, None])
def test_threads_change_nothing_in_the_result(nano, runtime, threads):
    before = torch.get_num_threads()
    try:
        run = on_cpu(nano, runtime, threads=threads)
        images = torch.rand(1, 3, 40, 48)
        assert psnr(run(images), plain(nano, images)) > LEAST_PSNR["float32"]
        if runtime == "torch" and threads:
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [3, None])
def test_a_thread_that_begins_while_another_keeps_to_itself_has_all_threads(nano, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run = on_cpu(nano, "torch", threads=threads)
        counts: list[int] = []

        def work() -> None:
            run(torch.rand(1, 3, 16, 16))
            counts.append(torch.get_num_threads())

        with one_thread():
            other = threading.Thread(target=work)
            other.start()
            other.join()
        assert counts == [threads or 2]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("who_leaves_first", ["first", "second"])
def test_threads_that_keep_to_themselves_leave_no_trace_in_those_that_begin_later(who_leaves_first):
    """The second of them makes its first call to torch while the first keeps to itself."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    steps = {name: (threading.Event(), threading.Event()) for name in ("first", "second")}
    counts: list[int] = []

    def work(name: str) -> None:
        inside, leave = steps[name]
        with one_thread(), one_thread():
            counts.append(torch.get_num_threads())
            inside.set()
            assert leave.wait(60)

    try:
        threads = {name: threading.Thread(target=work, args=(name,)) for name in steps}
        for name, thread in threads.items():
            thread.start()
            assert steps[name][0].wait(60)
        late = threading.Thread(target=lambda: counts.append(threads_here()))
        late.start()
        late.join()
        for name in sorted(threads, key=lambda name: name != who_leaves_first):
            steps[name][1].set()
            threads[name].join()
        new = threading.Thread(target=lambda: counts.append(torch.get_num_threads()))
        new.start()
        new.join()
        assert counts == [1, 1, 3, 3]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("runtime", ["torch", pytest.param("openvino", marks=needs_openvino)])
def test_one_thread_computes_one_frame_at_once(nano, runtime):
    before = torch.get_num_threads()
    try:
        assert on_cpu(nano, runtime, threads=1).at_once == 1
    finally:
        torch.set_num_threads(before)


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
