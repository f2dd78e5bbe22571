# make repro   set up, phantom films if data/raw is empty, all stages, the metrics
# make test    set up, format, lint, types, import contracts, tests
# make bench   throughput on real films (CXR_REAL_FILMS); BENCH="--films 400 --rounds 1" for a quick look; others: benchmarks/README.md
# make attack  kill, stop, double and starve runs, then count what is left; ATTACK="--kills 5" for a quick look
# make attack-hostile, attack-incremental   the tool over files made to harm it; what ten changed films rewrite
# make attack-training   training killed again and again, to the bytes of a run that was left alone
# make docs    the pages that are read off the code, and the site of docs/ in build/site; no network
# make pictures  the pictures of the README, from phantoms: looked at, then committed
# make attack-everywhere   one set on every backend, in a folder and in a store: the same bytes, or exit 1
# make attack-flips   200 single bytes changed at random, each to be found by verify and mended by verify --repair

PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: setup repro check test attack attack-hostile attack-incremental attack-everywhere attack-flips attack-training bench golden docs pictures clean

setup: .venv/.complete

.venv/.complete: pyproject.toml constraints.txt
	@echo "Installing into .venv: about three minutes and 7 GB, most of it PyTorch; nothing is said meanwhile"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dask,dev,dicom,onnx,ray,s3,tensorboard]'
	@touch $@
	@echo "Done. In this terminal: source .venv/bin/activate; then, in an empty folder: cxr-pipeline audit --raw FOLDER"

repro: setup
	@if [ -z "$$(ls -A data/raw 2>/dev/null)" ]; then cxr-pipeline phantom; fi
	dvc repro
	dvc metrics show
	@echo
	@echo "Look at reports/audit.html and reports/evaluation.html; plots: dvc plots show; your own films: data/raw"

check: setup
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	python -m docs.reference --check

test: check
	pytest --numprocesses 2 --dist loadfile

attack: setup
	python -m tests.attacks.kill $(ATTACK)

bench: .venv/.bench
	python benchmarks/throughput.py $(BENCH)

.venv/.bench: .venv/.complete
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	touch $@

attack-hostile: setup
	python -m tests.attacks.hostile $(ATTACK)

attack-incremental: setup
	python -m tests.attacks.incremental $(ATTACK)

attack-training: setup
	python -m tests.attacks.training $(ATTACK)

attack-everywhere: setup
	python -m tests.attacks.everywhere $(ATTACK)

attack-flips: setup
	python -m tests.attacks.flips $(ATTACK)

golden: setup
	python -m tests.golden.make

docs: setup
	python -m docs.reference
	mkdocs build --strict --quiet
	@echo "see build/site/index.html"

pictures: setup
	python -m docs.gallery

clean:
	rm -rf data/audit data/split data/normalized data/augmented data/evaluation models reports dvc.lock
