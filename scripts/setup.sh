#!/usr/bin/env bash
# Makes .venv, installs the package (editable) with the extras named as arguments, and CuPy where there is an NVIDIA GPU.
# Safe to repeat: a stamp per set of extras skips what is done, until pyproject.toml or constraints.txt changes.
set -euo pipefail
cd "$(dirname "$0")/.."
extras=$(IFS=,; echo "$*")
stamp=.venv/.installed-${extras//,/-}
if [ "$stamp" -nt pyproject.toml ] && [ "$stamp" -nt constraints.txt ]; then exit 0; fi

python=${PYTHON:-python3}
"$python" - <<'PY' || { echo "lipt-stream needs Python 3.11 to 3.13; name one with PYTHON=..." >&2; exit 1; }
import sys
raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PY
[ -x .venv/bin/python ] || "$python" -m venv .venv
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }

has_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; }
# Without a GPU the CPU index is asked first where it answers; the ordinary index serves everything else.
pip install --quiet --constraint constraints.txt --editable ".[${extras}]"
if has_gpu; then
    major=$(.venv/bin/python -c 'import torch; print((torch.version.cuda or "0").split(".")[0])')
    case $major in
        13) pip install --quiet --constraint constraints.txt --editable ".[cuda]" ;;
        12) pip install --quiet --constraint constraints.txt --editable ".[cuda12]" ;;
        *) echo "an NVIDIA GPU is here, but this torch has no CUDA: upscaling will run on the CPU" >&2 ;;
    esac
fi
touch "$stamp"
