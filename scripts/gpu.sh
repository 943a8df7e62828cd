#!/usr/bin/env bash
# Every gpu test and the GPU benchmark, in under 8 minutes, on a machine with an NVIDIA GPU.
# Needs a python that has torch (CUDA), CuPy, av, safetensors, pillow, typer, rich, nvidia-ml-py, psutil, pytest,
# pytest-timeout, hypothesis: PYTHON, else the one of .venv, else python3. torch.compile's tests also need Triton, a C
# compiler and Python.h. Nothing is installed. RESULTS says where the figures go.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
results=${RESULTS:-benchmarks/results}
mkdir -p "$results"
export LIPT_REQUIRE_GPU=1 PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1

mapfile -t files < <(grep -rl --include='test_*.py' 'pytest.mark.gpu' tests)  # others import what is not needed here
# A warning of a library as it is installed there fails no test; ended by SIGINT, pytest says what failed until then.
timeout --signal=INT --kill-after=10 290 "$python" -m pytest -m gpu -v --durations=10 -W default -p no:cacheprovider \
    "${files[@]}" 2>&1 | tee "$results/gpu_tests.txt"
tests=${PIPESTATUS[0]}
timeout 170 "$python" benchmarks/gpu.py --device cuda --out "$results/gpu.json"
bench=$?
[ "$tests" -eq 0 ] && [ "$bench" -eq 0 ]
