# make demo   run the example models with the runtime alone
# make test   install what the tests need, and run them
# make lint   ruff and mypy --strict
# make bench  all measurements (about 25 minutes), and the tables made from them

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench clean

demo: .venv/runtime
	$(BIN)/python examples/demo.py

test: .venv/dev
	$(BIN)/pytest

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd tests && ../$(BIN)/mypy --config-file ../pyproject.toml -p scratch_onnx

bench: .venv/dev
	$(BIN)/python -m benchmarks.all

clean:
	rm -rf .venv build *.egg-info

.venv/python:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	touch $@

.venv/runtime: .venv/python pyproject.toml
	$(BIN)/pip install --quiet -e .
	touch $@

# Strict mode makes a folder of links that mypy and editors can follow.
.venv/dev: .venv/python pyproject.toml
	$(BIN)/pip install --quiet -e '.[dev]' --config-settings editable_mode=strict
	touch $@ .venv/runtime
