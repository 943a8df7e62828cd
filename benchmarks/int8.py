"""What 8-bit integers would win and lose on a CPU: LIPT's OpenVINO graph quantised after training by NNCF.

    python benchmarks/int8.py --weights weights/nano-x2.safetensors --calibrate ../shared/data/train/shard0 \\
        --images ../shared/data/bench/Set5 --out benchmarks/results/int8.json

Needs `pip install nncf`. Scales are found on crops of training images, never on those that are scored; head and tail
keep their precision in the second variant, attention in all (its maps are softmaxes of products of activations).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import torch
from results_file import write_result

from lipt_stream.engine.openvino_graph import build_graph
from lipt_stream.engine.openvino_import import ov
from lipt_stream.model.lipt import LIPT, deploy, pad_by_reflection
from lipt_stream.model.weights import load_weights
from lipt_stream.train.evaluate import evaluate, find_images, read_image

CALIBRATION_SIDE = 128
CROPS = 200
TIMED = (360, 640)


def crops(folder: Path) -> list[np.ndarray[Any, Any]]:
    """The middle of each image, (1, 3, 128, 128) float32 in 0..1."""
    found: list[np.ndarray[Any, Any]] = []
    for path in find_images(folder)[:CROPS]:
        image = read_image(path)
        top, left = ((side - CALIBRATION_SIDE) // 2 for side in image.shape[:2])
        crop = image[top : top + CALIBRATION_SIDE, left : left + CALIBRATION_SIDE]
        found.append(np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32) / 255)
    return found


def quantised(network: LIPT, height: int, width: int, folder: Path, ends: bool) -> Any:
    """The graph for one size, quantised on crops that are mirrored up to it."""
    model = build_graph(network, height, width)
    sample = [pad(crop, height, width) for crop in crops(folder)[: CROPS if height < 300 else 20]]
    kinds = ["MatMul", "Softmax"]
    convolutions = [op.get_friendly_name() for op in model.get_ordered_ops() if op.get_type_name() == "Convolution"]
    ignored = nncf.IgnoredScope(types=kinds, names=[] if ends else [convolutions[0], convolutions[-1]])
    return nncf.quantize(model, nncf.Dataset(sample), ignored_scope=ignored, preset=nncf.QuantizationPreset.MIXED,
                         subset_size=len(sample))  # fmt: skip


def pad(crop: np.ndarray[Any, Any], height: int, width: int) -> np.ndarray[Any, Any]:
    crop = crop[:, :, :height, :width]
    extra = ((0, 0), (0, 0), (0, height - crop.shape[2]), (0, width - crop.shape[3]))
    return np.pad(crop, extra, mode="symmetric")


def compiled(model: Any) -> Any:
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}
    return ov.Core().compile_model(model, "CPU", options).create_infer_request()


def upscale(network: LIPT, graph: Callable[[int, int], Any]) -> Callable[[Any], Any]:
    """As `evaluate` wants it: one graph for each size."""

    def run(image: Any) -> Any:
        x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        padded = pad_by_reflection(x, network.config.window).contiguous()
        request = compiled(graph(*padded.shape[-2:]))
        request.infer([padded.numpy()])
        result = request.get_output_tensor().data[0].transpose(1, 2, 0)
        scale = network.config.scale
        result = result[: scale * image.shape[0], : scale * image.shape[1]]
        return np.clip(np.round(result * 255), 0, 255).astype(np.uint8)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, nargs="+", required=True)
    parser.add_argument("--calibrate", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for path in arguments.weights:
        network = deploy(load_weights(path)[0])
        variants: dict[str, Callable[[int, int], Any]] = {
            "float32": lambda h, w, n=network: build_graph(n, h, w),
            "int8": lambda h, w, n=network: quantised(n, h, w, arguments.calibrate, ends=True),
            "int8, head and tail float32": lambda h, w, n=network: quantised(n, h, w, arguments.calibrate, ends=False),
        }
        requests = {name: compiled(graph(*TIMED)) for name, graph in variants.items()}
        times: dict[str, list[float]] = {name: [] for name in variants}
        frame = np.random.default_rng(0).random((1, 3, *TIMED), np.float32)
        for _ in range(12):
            for name, request in requests.items():
                began = time.perf_counter()
                request.infer([frame])
                times[name].append(1e3 * (time.perf_counter() - began))
        for name, graph in variants.items():
            score = evaluate(upscale(network, graph), arguments.images, network.config.scale)
            rows.append({"weights": path.stem, "variant": name, "psnr_y": score.psnr_y,
                         "median_ms_640x360": statistics.median(times[name][2:])})  # fmt: skip
            print(rows[-1])
    write_result(arguments.out, nncf=nncf.__version__, results=rows)


if __name__ == "__main__":
    main()
