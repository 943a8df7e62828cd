#!/usr/bin/env bash
# The benchmarks of speed and memory with files, one after the other; about half an hour on two quiet cores. Those of
# live sessions, film, noise and training need servers, clips or hours: each says at its head how it is called.
# DATA is a folder of full-size images for the accuracy of runtimes and the cost of seams.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
results=benchmarks/results
data=${DATA:?name a folder of images: DATA=/path/to/Set5}

$python benchmarks/cpu_runtimes.py --weights weights/nano-x2.safetensors weights/tiny-x2.safetensors --images "$data" --out "$results/cpu_runtimes.json"
$python benchmarks/color.py
$python benchmarks/model_memory.py --out "$results/model_memory.json"
$python benchmarks/seams.py --data "$data" --out "$results/seams.json"
$python benchmarks/startup.py --out "$results/startup.json"
$python benchmarks/overlap.py --out "$results/overlap.json"
$python benchmarks/memory.py --out "$results/memory.json"
for model in nano tiny; do
    .venv/bin/lipt-stream bench --model "$model" -r 180p -r 360p -r 540p --json --chart "$results/bench_$model.png" \
        >"$results/bench_$model.json"
done
