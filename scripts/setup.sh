#!/usr/bin/env bash
# Makes .venv and installs the package (editable) with the extras named as arguments, and CuPy where there is an NVIDIA
# GPU. Safe to repeat: a stamp for each set of extras skips what is done, until pyproject.toml or constraints.txt changes.
set -euo pipefail
cd "$(dirname "$0")/.."
extras=$(IFS=,; echo "$*")
stamp=.venv/.installed-${extras//,/-}
if [ "$stamp" -nt pyproject.toml ] && [ "$stamp" -nt constraints.txt ]; then exit 0; fi

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || {
    echo "lipt-stream needs Python 3.11 to 3.13, and $python is $("$python" --version); name another with PYTHON=..." >&2
    exit 1
}
echo "setting up .venv (once)"
# One without pip is what `venv` leaves where it is stopped, or where Debian's python3-venv is missing.
.venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv .venv
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }
install() { pip install --quiet --constraint constraints.txt "$@"; }

has_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; }

# On Linux x86-64 the ordinary index's torch brings several GB of CUDA libraries. Without a GPU the CPU build is taken:
# from a local folder or index of pip's own configuration where one offers it, else from PyTorch's CPU index.
offers_cpu_torch() {
    pip install --quiet --dry-run --ignore-installed --no-deps --report - --constraint constraints.txt torch 2>/dev/null |
        "$python" -c 'import json, sys; sys.exit("+cpu" not in json.load(sys.stdin)["install"][0]["metadata"]["version"])' 2>/dev/null
}
if ! has_gpu && [ "$(uname -sm)" = "Linux x86_64" ] && ! .venv/bin/python -c 'import torch' 2>/dev/null; then
    offers_cpu_torch || install --index-url https://download.pytorch.org/whl/cpu torch ||
        echo "PyTorch's CPU index does not answer: the ordinary build, with CUDA, will be downloaded" >&2
fi

install --editable ".[${extras}]"
if has_gpu; then
    case $(.venv/bin/python -c 'import torch; print((torch.version.cuda or "0").split(".")[0])') in
        13) install --editable ".[cuda]" ;;
        12) install --editable ".[cuda12]" ;;
        *) echo "an NVIDIA GPU is here, but this torch has no CUDA: upscaling will run on the CPU" >&2 ;;
    esac
fi
touch "$stamp"
