#!/usr/bin/env bash
# Every gpu test and the GPU benchmark, in under 8 minutes, on a machine with an NVIDIA GPU.
# Needs a python that has torch (CUDA), CuPy, av, safetensors, typer, rich, nvidia-ml-py, pytest, hypothesis: the one of
# .venv if there is one, else PYTHON or python3. Nothing is installed. RESULTS says where the figures go.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
results=${RESULTS:-benchmarks/results}
mkdir -p "$results"
export LIPT_REQUIRE_GPU=1 PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1

timeout 200 "$python" -m pytest -m gpu -q -p no:cacheprovider 2>&1 | tee "$results/gpu_tests.txt"
tests=${PIPESTATUS[0]}
timeout 240 "$python" benchmarks/gpu.py --device cuda --out "$results/gpu.json"
bench=$?
[ "$tests" -eq 0 ] && [ "$bench" -eq 0 ]
