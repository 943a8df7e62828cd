# The two commands: `make demo` and `make test`. Both do all the set-up on a fresh machine.
VENV := .venv/bin

.PHONY: demo test check format bench gpu clean

demo:  ## upscale a bundled clip and show it
	@bash scripts/setup.sh openvino
	@$(VENV)/python scripts/demo.py

test: check  ## the whole suite, in two processes: many tests wait, for a server or for time to pass
	@$(VENV)/python -m pytest -n 2 --dist loadfile

check:  ## lint, format and types
	@bash scripts/setup.sh test
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .
	@$(VENV)/pyright

format:
	@bash scripts/setup.sh test
	@$(VENV)/ruff check --fix . && $(VENV)/ruff format .

bench:  ## speed and memory with files, as in the docs' tables; DATA=/path/to/images
	@bash scripts/setup.sh bench test
	@bash scripts/bench.sh

gpu:  ## on a machine with an NVIDIA GPU: every gpu test and the GPU benchmark
	@bash scripts/gpu.sh

clean:
	rm -rf .venv out build dist
