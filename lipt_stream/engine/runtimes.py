"""Who runs the network: torch anywhere, OpenVINO on CPUs where it is installed. One call shape for all."""

from __future__ import annotations

import importlib.util
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from typing import Any, Final, Literal, Protocol, TypeAlias, cast, get_args

import torch
from torch import Tensor

from lipt_stream.engine.device_errors import is_out_of_memory
from lipt_stream.engine.one_thread import threads_here
from lipt_stream.errors import DeviceError, SettingsError
from lipt_stream.model.lipt import LIPT, deploy

Precision: TypeAlias = Literal["auto", "float32", "float16", "bfloat16"]
RuntimeName: TypeAlias = Literal["auto", "torch", "openvino"]
_Computed: TypeAlias = Literal["float32", "float16", "bfloat16"]

MAX_THREADS: Final = 1024
"""That may be asked for: no machine gains by more, and torch ends the whole process where the system has none left."""
_DTYPES: Final[dict[_Computed, torch.dtype]] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
_BFLOAT16_INSTRUCTIONS: Final = ("avx512_bf16", "amx_bf16", "bf16")  # the last is ARM's


class Runtime(Protocol):
    """The network on a device: (N, 3, H, W) float there, 0..1 -> (N, 3, scale H, scale W) float32, not clamped.

    Any size, from any thread. The result is the caller's; it need not be contiguous.
    """

    @property
    def name(self) -> str:
        """Who computes: "torch" or "openvino"."""
        ...

    @property
    def precision(self) -> str:
        """What it mostly computes in: "float32", "float16" or "bfloat16"."""
        ...

    @property
    def at_once(self) -> int:
        """How many calls may go on at the same time and gain by it."""
        ...

    def __call__(self, images: Tensor, at_once: int = 1) -> Tensor:
        """One of `at_once` calls that go on at the same time, each with its part of the cores: by itself, with all."""
        ...


def make_runtime(
    model: LIPT, *, device: torch.device, precision: Precision, runtime: RuntimeName, threads: int | None
) -> Runtime:
    """The network ready to run. `model`, in either form, is not touched.

    Args:
        precision: "auto" is float16 on a GPU, and on a CPU bfloat16 if it has instructions for it, else float32; what
            has more than 8 bits is then not for it (`Upscaler.for_bit_depth`).
        runtime: "auto" is OpenVINO on a CPU where it is installed, and torch otherwise.
        threads: for the network on a CPU, None for the library's own choice. Torch's are those of the thread that
            calls, and of each that begins later.

    Raises:
        SettingsError: a word is unknown, the combination makes no sense, or OpenVINO is asked for and not installed.
        DeviceError: the CPU lacks the precision, or OpenVINO is installed and cannot be loaded.
    """
    for word, known in ((precision, get_args(Precision)), (runtime, get_args(RuntimeName))):
        if word not in known:
            raise SettingsError(f"There is no {word!r}", f"Use {', '.join(known)}")
    if threads is not None and not (type(threads) is int and 1 <= threads <= MAX_THREADS):
        raise SettingsError(f"threads is {threads!r}", f"Use 1 to {MAX_THREADS}")
    if device.type == "cpu" and precision == "float16":
        raise SettingsError("float16 is for GPUs", "Use bfloat16 or float32 on a CPU")
    network = deploy(model)
    if _pick(runtime, device) == "openvino":
        with _loading_openvino():
            from lipt_stream.engine.openvino_runtime import OpenVinoRuntime, has_bfloat16

            is_able = has_bfloat16()
        on_cpu = cast("Literal['float32', 'bfloat16']", _cpu_precision(precision, is_able))
        return OpenVinoRuntime(network.cpu(), on_cpu, threads)
    if device.type == "cpu":
        computed = _cpu_precision(precision, torch_has_bfloat16())
    else:
        computed = "float16" if precision == "auto" else precision
    return TorchRuntime(network, device, computed, threads)


class TorchRuntime:
    """The floor that always works: the network itself, channels last, without gradients.

    float32 is float32: torch would let cuDNN round the factors of convolutions to 10 bits (TF32) on a GPU. In half
    precision too, where the network's tail is float32.
    """

    def __init__(self, network: LIPT, device: torch.device, precision: _Computed, threads: int | None = None) -> None:
        """`threads`: on a CPU; None for as many as torch now takes in this thread."""
        self.name: Final = "torch"
        self.precision: Final = precision
        self.at_once: Final = 1
        self._threads = threads or threads_here()
        # Channels last by a loop: `Module.to(memory_format=)` is not in torch's typed signature.
        self._network = network.to(device, _DTYPES[precision]).eval()
        for parameter in self._network.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def __call__(self, images: Tensor, at_once: int = 1) -> Tensor:
        del at_once  # torch has one pool of threads, and a GPU one stream
        on_gpu = images.device.type == "cuda"
        if not on_gpu:
            # A new thread takes the number that any other has set last, which may be that of one_thread().
            torch.set_num_threads(self._threads)
        with (
            torch.inference_mode(),
            without_tf32() if on_gpu else nullcontext(),
            without_cudnn_attention() if on_gpu else nullcontext(),
        ):
            return self._network(images).float()


@contextmanager
def without_tf32() -> Generator[None]:
    """cuDNN multiplies all bits of float32; its other switches stay as they are.

    torch has two kinds of switches, and where a program has set one of the newer kind (torch.backends.fp32_precision,
    cudnn.conv.fp32_precision), the older one cannot be read, or has no effect.
    """
    cudnn: Any = torch.backends.cudnn
    if not _newer_switches_are_set():
        with cudnn.flags(
            enabled=cudnn.enabled, benchmark=cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False
        ):
            yield
        return
    before = cudnn.conv.fp32_precision
    cudnn.conv.fp32_precision = "ieee"
    try:
        yield
    finally:
        cudnn.conv.fp32_precision = before


@contextmanager
def without_cudnn_attention() -> Generator[None]:
    """Attention by torch's own kernels, as on every other GPU; the switch is the process's, and is put back.

    On Hopper and Blackwell torch from 2.11 on prefers cuDNN's, which plans for each new shape, for as long as half a
    second (modelscope/FunASR#3704), is not made for windows of 64 pixels, and on one Blackwell computed something else
    (pytorch/pytorch#193893).
    """
    switches: Any = torch.backends.cuda
    before = switches.cudnn_sdp_enabled()
    switches.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        switches.enable_cudnn_sdp(before)


def _newer_switches_are_set() -> bool:
    backends: Any = torch.backends
    try:
        _ = backends.cudnn.allow_tf32
    except RuntimeError:  # for they contradict it
        return True
    return getattr(backends, "fp32_precision", "none") != "none"  # torch from 2.9 on


def _pick(runtime: RuntimeName, device: torch.device) -> Literal["torch", "openvino"]:
    if runtime == "torch" or (runtime == "auto" and device.type != "cpu"):
        return "torch"
    if device.type != "cpu":
        raise SettingsError(f"OpenVINO does not run on {device} here", "Use --runtime torch, or --device cpu")
    if importlib.util.find_spec("openvino") is not None:
        return "openvino"
    if runtime == "auto":
        return "torch"
    hint = "In the checkout: .venv/bin/pip install -e '.[openvino]'; or use --runtime torch"
    raise SettingsError("OpenVINO is not installed", hint)


def openvino_version() -> str:
    """Of the OpenVINO that is installed. DeviceError where it, or its part for CPUs, cannot be loaded."""
    with _loading_openvino():
        from lipt_stream.engine.openvino_import import ov
        from lipt_stream.engine.openvino_runtime import has_bfloat16

        has_bfloat16()
        return ov.get_version().partition("-")[0]


@contextmanager
def _loading_openvino() -> Generator[None]:
    try:
        yield
    # A library it lacks, an OpenVINO of long ago, or, in its own words, one of its parts.
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        reason = (str(error).split("\n\n")[0].splitlines() or [type(error).__name__])[-1]
        hint = "Install it again (`pip install --force-reinstall openvino`), or use --runtime torch"
        raise DeviceError(f"OpenVINO is installed but cannot be loaded: {reason}", hint) from error


def _cpu_precision(precision: Precision, has_bfloat16: bool) -> _Computed:
    if precision == "auto":
        return "bfloat16" if has_bfloat16 else "float32"
    if precision == "bfloat16" and not has_bfloat16:
        raise DeviceError("This CPU has no bfloat16 instructions", "Use --precision float32")
    return precision


def torch_has_bfloat16() -> bool:
    """Torch computes in bfloat16 on any CPU; only with instructions for it is that faster than float32."""
    if not hasattr(torch.cpu, "get_capabilities"):  # older than 2.13, as far as we know: float32 is always right
        return False
    return any(torch.cpu.get_capabilities().get(name) for name in _BFLOAT16_INSTRUCTIONS)
