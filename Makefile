# Everything runs in .venv, which the targets make and keep up to date.
#   make demo PYTHON=python3.12
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu    the CPU build of torch instead of gigabytes of CUDA

PYTHON ?= python3
TORCH_INDEX ?=
ISA ?= auto
PYTEST_FLAGS ?=
VENV := .venv
BIN := $(VENV)/bin
# Python caches bytecode at the first import; compiling all of torch at installation would take longer.
unexport PYTHONDONTWRITEBYTECODE
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --no-compile -q -c constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
# Without pip's own copy of the build's requirements the paths of headers stay, and ninja compiles only what has changed.
BUILD_REQUIRES = $(shell $(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])')
EXTRA = $(shell $(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["$(1)"])')
CPP := $(shell find csrc -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh')
# The extension knows its stub's hash, and an editable install the version.
PACKAGE_DEPS := pyproject.toml constraints.txt setup.py mime_fast/_native.pyi mime_fast/_version.py $(CPP)
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
INSTALLED_DOCS := $(VENV)/.installed-docs
INSTALLED_BENCH := $(VENV)/.installed-bench
ASAN_BUILD := build/asan
ASAN := $(ASAN_BUILD)/lib
ASAN_FLAGS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g
ASAN_LIBS = $(foreach lib,libasan.so libubsan.so libstdc++.so.6,$(shell $(CXX) -print-file-name=$(lib)))
SANITIZED = LD_PRELOAD="$(ASAN_LIBS)" ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=$(CURDIR)/$(ASAN):$(CURDIR) \
	PYTHONDONTWRITEBYTECODE=1

.PHONY: help demo build test lint docs bench bench-corpora asan check-arm cuda-check wheel release-check clean

help:
	@echo "make demo    install into .venv and answer the dialogues of examples/dialogues.jsonl"
	@echo "make test    install what the tests need, lint, run all tests"
	@echo "make build   install into .venv, native extension included"
	@echo "make lint    ruff, mypy --strict, clang-format"
	@echo "make docs    the documentation as a site, build/site/index.html; any warning is an error"
	@echo "make bench   the benchmarks beside their peers, nine to ten minutes; writes benchmarks/results/cpu-*; ISA=avx2 for that set"
	@echo "make bench-corpora    rates and memory of corpus jobs; writes benchmarks/results/corpora.*"
	@echo "make asan    the native extension's tests under the address and undefined-behaviour sanitizers"
	@echo "make check-arm   the kernels for aarch64 under qemu; takes g++-aarch64-linux-gnu and qemu-user"
	@echo "make cuda-check  what only a machine with a GPU can show; takes its python3, not .venv"
	@echo "make wheel   a wheel in dist/ that installs without a compiler"
	@echo "make release-check   versions agree; sdist and wheel built, checked, and used in a fresh environment; five minutes;"
	@echo "                     TAG=v0.3.0: they are that tag's, and no change is without a version"
	@echo "make clean   remove what was built, but not .venv"

demo: build
	$(BIN)/mime-fast generate --format text examples/dialogues.jsonl

build: $(INSTALLED)

test: lint
	$(BIN)/pytest $(PYTEST_FLAGS)

lint: $(INSTALLED_DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(CPP)

# Sources are read, not run, but for the parsers. Material's note on its successor is no warning.
docs: $(INSTALLED_DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(INSTALLED_BENCH)
	$(BIN)/pytest --benchmark --benchmark-columns=median,iqr,ops,rounds \
		--ignore benchmarks/test_corpora.py --benchmark-isa=$(ISA) '--benchmark-report=benchmarks/results/cpu-{isa}'

bench-corpora: $(INSTALLED_BENCH)
	$(BIN)/pytest --benchmark --benchmark-columns=median,iqr,ops,rounds \
		benchmarks/test_corpora.py --benchmark-report=benchmarks/results/corpora

wheel: $(VENV)/.build-requires
	rm -rf build/lib* build/bdist*
	$(BIN)/python -m pip wheel --disable-pip-version-check -q --no-deps --no-build-isolation -w dist .

release-check: $(VENV)/.build-requires
	$(BIN)/python tools/release_check.py $(if $(TAG),--tag $(TAG))
	$(PIP_INSTALL) $(foreach package,$(call EXTRA,release),'$(package)')
	rm -rf dist build/lib* build/bdist*
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(BIN)/python tools/check_wheel.py

# Sanitizers keep sums in memory: what test_the_extension looks for is a fault of optimised code only.
asan: $(INSTALLED_DEV)
	rm -rf $(ASAN)
	CFLAGS="$(ASAN_FLAGS)" CXXFLAGS="$(ASAN_FLAGS)" LDFLAGS="$(ASAN_FLAGS)" \
		$(BIN)/python setup.py -q build --build-base $(ASAN_BUILD) --build-lib $(ASAN) build_ext --dev
	$(SANITIZED) $(BIN)/python -P -c 'import mime_fast._native as n; assert "$(ASAN)" in n.__file__, n.__file__'
	$(SANITIZED) $(BIN)/pytest -p no:cacheprovider -o pythonpath= tests/native --ignore tests/native/test_shipped.py \
		--deselect tests/native/test_disassembly.py::test_the_extension

check-arm:
	tests/isa/run aarch64-linux-gnu- qemu-aarch64 -L /usr/aarch64-linux-gnu

# Such a machine has its own PyTorch and Triton, and often no network.
cuda-check:
	$(PYTHON) tools/gpu_check.py

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks mime_fast/*.so mime_fast/_cuda_missing.txt
	rm -f $(VENV)/.build-requires $(INSTALLED) $(INSTALLED_DEV) $(INSTALLED_DOCS) $(INSTALLED_BENCH)
	find mime_fast tests benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.build-requires: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) $(foreach package,$(BUILD_REQUIRES),'$(package)')
	@touch $@

$(INSTALLED): $(PACKAGE_DEPS) $(VENV)/.build-requires
	$(PIP_INSTALL) --no-build-isolation -e .
	@touch $@

$(INSTALLED_DEV): $(PACKAGE_DEPS) $(VENV)/.build-requires
	$(PIP_INSTALL) --no-build-isolation -e '.[test,lint,plots,ray]'
	$(BIN)/python setup.py -q build_ext --inplace
	@touch $(INSTALLED) $@

$(INSTALLED_DOCS): $(INSTALLED)
	$(PIP_INSTALL) $(foreach package,$(call EXTRA,docs),'$(package)')
	@touch $@

$(INSTALLED_BENCH): $(PACKAGE_DEPS) $(VENV)/.build-requires
	$(PIP_INSTALL) --no-build-isolation -e '.[bench]'
	$(BIN)/python setup.py -q build_ext --inplace
	@touch $(INSTALLED) $@
