# `make study` and `make test` set everything up first; on a fresh machine they need Python 3.11 or newer with pip.
# Windows has the same steps without make: see README.md.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# The first Python that runs and is new enough; name another with `make PYTHON=/path/to/python ...`.
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$python"; break; }; done)
BIN := .venv/bin

.PHONY: help setup study test nightly check matrix wheels lock clean container-tools

help:
	@echo "make study   train the embedded model under many conditions, compare the bits, write a report"
	@echo "make test    check the code and run every test"
	@echo "make nightly damage run folders 100,000 times at random (about a quarter of an hour)"
	@echo "make setup   make .venv with everything in it (study and test do this themselves)"
	@echo "make check   ruff, mypy, import contract, workflows"
	@echo "make matrix  train everywhere that this machine can, and print the matrix of golden digests"
	@echo "make wheels  every platform's wheel and the sdist, built twice and compared, in dist"
	@echo "make lock    resolve requirements/lock.txt anew"
	@echo "make container-tools   install podman and mmdebstrap from Debian's packages (root; see docs/images.md)"
	@echo "make clean   remove .venv, compiled kernels and caches; run folders stay"

setup:
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer must be installed; none was found as python3" >&2; exit 2; }
	@$(PYTHON) tools/setup_environment.py

study: setup
	$(BIN)/samebits study $(ARGS)

test: check
	$(BIN)/python -m pytest $(ARGS)

nightly: setup
	SAMEBITS_FUZZ_INPUTS=100000 $(BIN)/python -m pytest -s tests/faults/test_verify_fuzz.py $(ARGS)

check: setup
	$(BIN)/python tools/check.py

.PHONY: matrix wheels
matrix: setup
	$(BIN)/python tools/reproduce_golden.py --keep artifacts/matrix_$$(date -u +%Y%m%d_%H%M%S) $(ARGS)

wheels: setup
	$(BIN)/python tools/build_wheels.py $(ARGS)

lock:
	$(PYTHON) tools/lock_requirements.py

# Both generations of runtimes: crun refuses machines with both kinds of control groups, runc runs on all.
container-tools:
	@command -v apt-get >/dev/null || { echo "error: apt-get must be here; install podman by your system's own means" >&2; exit 2; }
	apt-get install -y --no-install-recommends podman buildah runc crun mmdebstrap uidmap fuse-overlayfs

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	rm -rf src/samebits/numerics/native/lib
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
