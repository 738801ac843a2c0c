# Installs, tests and shows CryoSiam. Needs Python 3.11 to 3.13 and make, nothing else.
#
#   make demo   install, make an example project, pick its particles, print how well they were found
#   make test   install, run the fast tests        make test-slow   the others
#   make lint   style, types, import contract      make clean       remove all that make has made
#   make clients   install RELION 3.1, CCP-EM's pipeliner and Scipion's packages, for the tests that use them
#   make docs   renew the picture, figures and model card in the documents, from the demo

SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	"$$p" -c '$(SUITABLE)' >/dev/null 2>&1 && { echo "$$p"; break; }; done)
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
DEMO ?= demo

# Twice quiet: errors only, no word on package folders that lack a package.
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install -qq --constraint constraints.txt
SOURCES := $(shell find cryosiam integrations schemas -not -name __pycache__ -not -name '*.pyc') \
	setup.py pyproject.toml README.md LICENSE

# The fast tests run in two processes; more threads in each would only wait for one another.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

.PHONY: install test test-slow lint demo docs clients clean

install: $(VENV)/installed

test: $(VENV)/tested-with
	$(PYTEST) $(ARGS)

test-slow: $(VENV)/tested-with
	$(PYTEST) -m slow $(ARGS)

# mypy and lint-imports read the package as installed: only there is it whole. They start inside the
# environment's folder, so that the folders of the source tree do not hide it.
lint: $(VENV)/tested-with
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd $(VENV) && $(BIN)/mypy --config-file $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/.mypy_cache -p cryosiam
	cd $(VENV) && $(BIN)/lint-imports --config $(CURDIR)/pyproject.toml --no-cache

demo: $(VENV)/installed
	$(BIN)/python examples/make_demo_project.py --out $(DEMO)
	$(BIN)/cryosiam pick --copick $(DEMO)/project.json --out $(DEMO)/results
	$(BIN)/cryosiam evaluate --copick $(DEMO)/project.json --embeddings $(DEMO)/results/embeddings.parquet

docs: demo
	$(BIN)/python docs/refresh.py $(DEMO)/results

clients:
	.ci/clients

clean:
	rm -rf $(VENV) .clients $(DEMO) build cryosiam.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/environment:
	@test -n "$(PYTHON)" || { echo "no Python 3.11, 3.12 or 3.13 found; name one: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -qq --upgrade 'pip>=25.1'
	@touch $@

# Removing 'build' keeps modules that no longer exist out of the package.
$(VENV)/installed: $(VENV)/environment constraints.txt $(SOURCES)
	@echo "installing cryosiam into $(VENV); the first time takes some minutes"
	@rm -rf build
	$(INSTALL) .
	@rm -rf build cryosiam.egg-info
	@touch $@

$(VENV)/tested-with: $(VENV)/installed
	$(INSTALL) --group dev
	@touch $@
