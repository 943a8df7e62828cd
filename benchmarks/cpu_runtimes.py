"""Which runtime is fastest for LIPT on a CPU, and what does each lose? The table behind `runtime="auto"`.

python benchmarks/cpu_runtimes.py --weights weights/nano-x2.safetensors weights/tiny-x2.safetensors \\
    --images ../shared/data/bench/Set5 --out benchmarks/results/cpu_runtimes.json

Every candidate is a process of its own, so that its peak memory is its own; all are started, then asked in turn for one
inference each, round after round, so that a busy moment of the machine falls on all alike. Needs the `bench` extra, and
for torch.compile a C++ compiler.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lipt_stream.engine.openvino_import import ov
from lipt_stream.engine.runtimes import make_runtime
from lipt_stream.errors import DeviceError
from lipt_stream.model.lipt import LIPT, deploy, pad_by_reflection
from lipt_stream.model.weights import load_weights
from lipt_stream.observe.process import describe_machine, peak_rss_mb
from lipt_stream.train.evaluate import evaluate

CLIP = Path(__file__).resolve().parent.parent / "tests" / "data" / "clips" / "flower.mp4"
SIZES = ("320x180", "640x360", "960x540")
CPU = torch.device("cpu")
Run = Callable[[Tensor], Tensor]


# --- the candidates: each makes (1, 3, H, W) float32 -> (1, 3, sH, sW) float32 of a network, for one size or for all


def of_package(runtime: Any, precision: Any) -> Callable[[LIPT, Tensor, int], Run]:
    def prepare(network: LIPT, _example: Tensor, threads: int) -> Run:
        return make_runtime(network, device=CPU, precision=precision, runtime=runtime, threads=threads)

    return prepare


def torch_channels_first(dtype: torch.dtype) -> Callable[[LIPT, Tensor, int], Run]:
    def prepare(network: LIPT, _example: Tensor, _threads: int) -> Run:
        network = network.to(dtype)
        network.head.register_forward_pre_hook(lambda _module, inputs: (inputs[0].contiguous(),))
        return inference(network)

    return prepare


def torch_compiled(dtype: torch.dtype) -> Callable[[LIPT, Tensor, int], Run]:
    def prepare(network: LIPT, _example: Tensor, _threads: int) -> Run:
        torch.compiler.config.force_disable_caches = True  # the first call is to be a first one
        return inference(torch.compile(network.to(dtype).to(memory_format=torch.channels_last), dynamic=False))

    return prepare


def onnxruntime(network: LIPT, example: Tensor, threads: int) -> Run:
    import onnxruntime as ort

    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(network, (example,), dynamo=True, verbose=False)
    program.save(file)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: torch.from_numpy(session.run(None, {name: images.numpy()})[0])


def openvino_converted(precision: str) -> Callable[[LIPT, Tensor, int], Run]:
    def prepare(network: LIPT, example: Tensor, threads: int) -> Run:
        scale, window = network.config.scale, network.config.window
        # Padded outside: as converted by OpenVINO 2026.4, the network's own padding comes out wrong (11 dB).
        padded = pad_by_reflection(example, window).contiguous()
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torch.jit's deprecation, and the tracer's remarks
            model = ov.convert_model(network, example_input=padded, input=[list(padded.shape)])
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": precision,
            "ENABLE_CPU_PINNING": False,
        }
        request = ov.Core().compile_model(model, "CPU", options).create_infer_request()

        def run(images: Tensor) -> Tensor:
            height, width = images.shape[-2:]
            whole = pad_by_reflection(images, window).contiguous()
            request.set_input_tensor(ov.Tensor(whole.numpy(), shared_memory=True))
            request.infer()
            result = torch.from_numpy(request.get_output_tensor().data.copy())
            return result[..., : scale * height, : scale * width]

        return run

    return prepare


def inference(network: Callable[[Tensor], Tensor]) -> Run:
    def run(images: Tensor) -> Tensor:
        with torch.inference_mode():
            return network(images).float()

    return run


CANDIDATES: dict[str, Callable[[LIPT, Tensor, int], Run]] = {
    "torch float32": of_package("torch", "float32"),
    "torch bfloat16": of_package("torch", "bfloat16"),
    "torch float32, channels first": torch_channels_first(torch.float32),
    "torch bfloat16, channels first": torch_channels_first(torch.bfloat16),
    "torch.compile float32": torch_compiled(torch.float32),
    "torch.compile bfloat16": torch_compiled(torch.bfloat16),
    "onnxruntime float32": onnxruntime,
    "openvino float32, converted": openvino_converted("f32"),
    "openvino bfloat16, converted": openvino_converted("bf16"),
    "openvino float32": of_package("openvino", "float32"),
    "openvino bfloat16": of_package("openvino", "bfloat16"),
}
ANY_SIZE = ("torch float32", "torch bfloat16", "openvino float32", "openvino bfloat16")


# --- a worker: one candidate in its own process; reads requests, a line of JSON each, and answers in kind


def work(candidate: str, weights: Path, threads: int) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print to stdout; answers have it for themselves
    torch.set_num_threads(threads)
    run: Run = torch.zeros_like  # until prepared
    frame = torch.empty(0)
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, float] = {}
        match request["do"]:
            case "prepare":
                frame = real_frame(*request["size"])
                network = load(weights)
                began = time.perf_counter()
                try:
                    run = CANDIDATES[candidate](network, frame, threads)
                    run(frame)
                    answer["first_call_s"] = time.perf_counter() - began
                except DeviceError as error:  # a precision that this CPU has no instructions for: an empty answer
                    print(error, file=sys.stderr)
            case "run":
                began = time.perf_counter()
                run(frame)
                answer["ms"] = (time.perf_counter() - began) * 1e3
            case "finish":
                answer["peak_mib"] = peak_rss_mb()  # before the reference adds its own
                error = float((run(frame).double() - inference(load(weights))(frame).double()).square().mean())
                answer["psnr_vs_float32_db"] = -10 * math.log10(max(error, 1e-20))
            case "score":
                scored = CANDIDATES[candidate](load(weights), frame, threads)
                answer["psnr_y"] = evaluate(of_bytes(scored), Path(request["images"]), request["scale"]).psnr_y
        print(json.dumps(answer), file=answers, flush=True)


def load(weights: Path) -> LIPT:
    return deploy(load_weights(weights)[0])


def real_frame(width: int, height: int) -> Tensor:
    """The bundled clip's first frame at a size, (1, 3, height, width) float32 in 0..1."""
    with av.open(str(CLIP)) as container:
        rgb = next(container.decode(video=0)).to_ndarray(format="rgb24")
    resized = np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BICUBIC))
    return torch.from_numpy(resized.copy()).permute(2, 0, 1)[None].float().div(255).contiguous()


def of_bytes(run: Run) -> Callable[[Any], Any]:
    def upscale(image: Any) -> Any:
        result = run(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)
        return result[0].permute(1, 2, 0).mul(255).round().clamp(0, 255).byte().numpy()

    return upscale


# --- the parent


class Worker:
    """A candidate's process, asked one thing at a time."""

    def __init__(self, candidate: str, weights: Path, threads: int) -> None:
        command = [
            sys.executable,
            __file__,
            "--worker",
            candidate,
            "--weights",
            str(weights),
            "--threads",
            str(threads),
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **request: Any) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with {self._process.wait()} at {request}")
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def measure(weights: Path, size: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """One weights file at one size through every candidate."""
    width, height = map(int, size.split("x"))
    scale = load(weights).config.scale
    workers: dict[str, Worker] = {}
    rows: dict[str, dict[str, Any]] = {}
    for name in arguments.candidates:
        worker = Worker(name, weights, arguments.threads)
        prepared = worker.ask(do="prepare", size=[width, height])
        if not prepared:
            print(f"{name}: not on this CPU")
            continue
        workers[name] = worker
        rows[name] = {"weights": weights.stem, "size": size, "candidate": name} | prepared
    times: dict[str, list[float]] = {name: [] for name in workers}
    for round_ in range(1 + arguments.runs):
        for name, worker in workers.items():
            if len(times[name]) >= 5 and sum(times[name]) > arguments.seconds * 1e3:
                continue
            ms = worker.ask(do="run")["ms"]
            if round_ >= 1:  # a round of warming up, after the first call
                times[name].append(ms)
    now = datetime.now(UTC).isoformat(timespec="minutes")
    for name, worker in workers.items():
        rows[name] |= worker.ask(do="finish")
        if arguments.images and size == arguments.sizes[0] and name in ANY_SIZE:
            rows[name] |= worker.ask(do="score", images=str(arguments.images.resolve()), scale=scale)
        worker.close()
        rows[name] |= {"median_ms": statistics.median(times[name]), "least_ms": min(times[name])}
        rows[name] |= {"runs": len(times[name]), "date": now, "load_average": os.getloadavg()[1]}
    return list(rows.values())


def show(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        score = f"{row['psnr_y']:8.3f}" if "psnr_y" in row else " " * 8
        print(
            f"{row['weights']:12} {row['size']:8} {row['candidate']:32} {row['median_ms']:8.1f} ms"
            f" {row['least_ms']:8.1f} {row['first_call_s']:7.2f} s {row['peak_mib']:6.0f} MiB"
            f" {row['psnr_vs_float32_db']:6.1f} dB {score}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, nargs="+", required=True)
    parser.add_argument("--images", type=Path, help="a folder of full-size images to score Y-PSNR on")
    parser.add_argument("--sizes", nargs="+", default=SIZES)
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES), choices=list(CANDIDATES))
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=60, help="of one candidate at one size, after which 5 runs do")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker, arguments.weights[0], arguments.threads)
        return
    print("weights, size, candidate, median, least, first call, peak memory, PSNR to float32, Y-PSNR on the images")
    for weights in arguments.weights:
        for size in arguments.sizes:
            rows = measure(weights, size, arguments)
            show(rows)
            if arguments.out:
                keep(rows, arguments.out, arguments.threads)


def keep(rows: list[dict[str, Any]], out: Path, threads: int) -> None:
    """Write rows beside those that the file holds; a cell measured again replaces its former row."""

    def cell(row: dict[str, Any]) -> tuple[str, str, str]:
        return row["weights"], row["size"], row["candidate"]

    former = json.loads(out.read_text())["results"] if out.is_file() else []
    merged = {cell(row): row for row in [*former, *rows]}
    machine = describe_machine() | {"torch": torch.__version__, "openvino": ov.__version__}
    out.parent.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine, "threads": threads, "results": list(merged.values())}
    out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
