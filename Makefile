# make demo | mini | gpu | test | lint | docs | env | format | clean
#
# The first use makes .venv with PYTHON and installs into it; a change of pyproject.toml installs
# again. VENV=/path takes an environment that exists, PIP_ARGS goes to pip (for machines without
# network: PIP_ARGS='--no-index --find-links wheels --no-build-isolation'). JOBS is how many stages
# of `make mini` run side by side.

PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
JOBS ?= 2
ARGS ?=

python := $(VENV)/bin/python
stamp := $(VENV)/.mmc2fmae-installed

# In an environment that several checkouts share, each one runs its own files.
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))

.PHONY: demo mini gpu test lint docs env format clean

demo: $(stamp)
	$(python) tools/demo.py

mini: $(stamp)
	$(python) tools/reproduce.py run all --preset mini --quick --jobs $(JOBS); status=$$?; \
	$(python) tools/reproduce.py report all --preset mini --quick && exit $$status

# On a machine with a GPU. ARGS='--mae CHECKOUT --multimae CHECKOUT' sets public code beside ours.
gpu: $(stamp)
	$(python) -m mmc2fmae bench gpu --out docs/results $(ARGS)

test: $(stamp)
	OMP_NUM_THREADS=1 $(python) -m pytest -q -n auto

lint: $(stamp)
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(VENV)/bin/lint-imports --no-logo
	$(python) -m mypy

# Into site/. To read it with its search: python3 -m http.server -d site
docs: $(stamp)
	@$(python) -c 'import mkdocs' 2>/dev/null \
		|| $(python) -m pip install --disable-pip-version-check $(PIP_ARGS) -e '.[docs]'
	$(python) -m mkdocs build

env: $(stamp)
	$(python) -m mmc2fmae.env

format: $(stamp)
	$(python) -m ruff check --fix .
	$(python) -m ruff format .

# The environment stays; to make it anew: rm -r .venv
clean:
	rm -rf build dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
	find mmc2fmae tools tests configs -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so an interrupted installation starts again at the next call.
$(stamp): pyproject.toml
	@[ -x $(python) ] || $(call check_version,$(PYTHON))
	[ -x $(python) ] || $(PYTHON) -m venv $(VENV)
	@$(call check_version,$(python))
	@$(python) -m pip --version >/dev/null 2>&1 || $(python) -m ensurepip
	@# Compiled mmcv and mmcv-lite are the same folder: an mmcv that is there stays untouched.
	extras=test,tensorboard,corruptions,labeling,onnx,web; \
	$(python) -c 'import sys, importlib.util as u; sys.exit(u.find_spec("mmcv") is None)' \
		|| extras=$$extras,lite; \
	$(python) -m pip install --disable-pip-version-check $(PIP_ARGS) -e ".[$$extras]"
	@touch $@

define check_version
$(1) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	echo "mmc2fmae needs Python 3.10 or newer, '$(1)' is: $$($(1) --version 2>&1)." >&2; \
	echo "Name another one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
endef
