# `make demo`: set up and see photographs mixed. `make test`: set up and run every test and check.
PYTHON ?= python3
CXX ?= g++
VENV ?= .venv
# Processes that share the tests: one more than there are cores, since some tests wait for other processes.
WORKERS ?= $(shell expr $$(nproc) + 1)
# Which CUDA the packages are for; without a GPU either will do.
CUDA ?= $(shell nvidia-smi 2>/dev/null | grep -q 'CUDA Version: 12' && echo 12 || echo 13)

BIN = $(VENV)/bin
SOURCES = $(wildcard kernels/*.cu kernels/include/*.cuh tests/support/host/*.h tests/kernels/*.cu)
# What codespell reads; pyproject.toml says which of it is meant as it stands.
WORDS = $(wildcard *.md *.toml *.py Makefile) kernels python dali_ops tests benchmarks docs examples
PINNED = setup.py pyproject.toml constraints.txt

.PHONY: demo test check format clean

demo: $(VENV)/.demo
	$(BIN)/dalimix demo

# A file runs in one process, which makes once what its tests share; the longest files begin, as tests/conftest.py sorts.
# Before them the loops are compiled, beside the checks, of which each keeps one core busy.
test: $(VENV)/.test
	@$(BIN)/python -m tests.support.programs.compile_loops & compiling=$$!; \
	  $(MAKE) --no-print-directory check && wait $$compiling
	CXX=$(CXX) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(SOURCES)
	$(BIN)/codespell $(WORDS)

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(SOURCES)

clean:
	rm -rf $(VENV) build demo bench *.egg-info python/*.egg-info tests/support/host/.cache

$(VENV)/.demo: $(PINNED)
	$(call need_python)
	$(call install,cuda$(CUDA)$(comma)demo)
	@touch $@

$(VENV)/.test: $(PINNED)
	$(call need_python)
	$(call need_compiler)
	$(call install,cuda$(CUDA)$(comma)torch$(comma)test)
	@touch $@ $(VENV)/.demo

comma := ,
# Most of what is installed is never imported, so that compiling all of it would take longer than all the rest. What is
# imported must be kept compiled, also where images of Docker say otherwise: the tests start Python hundreds of times.
export PYTHONDONTWRITEBYTECODE :=
PIP = --quiet --quiet --disable-pip-version-check --no-compile --retries 10

define install
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (minutes the first time)"
	@$(BIN)/python -m pip install $(PIP) -c constraints.txt -e '.[$(1)]'
endef

define need_python
	@command -v $(PYTHON) >/dev/null || { echo "missing: $(PYTHON) (Python 3.10 or newer; or: make PYTHON=...)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "missing: Python 3.10 or newer; this is $$($(PYTHON) --version)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "missing: Python's venv (Debian: apt install python3-venv)"; exit 1; }
endef

define need_compiler
	@command -v $(CXX) >/dev/null || { echo "missing: a C++ compiler (Debian: apt install g++; or: make CXX=...)"; exit 1; }
endef
