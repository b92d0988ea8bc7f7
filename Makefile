# All that is needed is make and Python 3.11 or newer with its venv module: `make serve`, `make test`.
# PYTHON=... chooses the Python of a virtual environment that is yet to be made (`make clean` removes one),
# LISTEN=... the address of `make lab` and `make serve`; ARGS=... is passed on to the command.

.DEFAULT_GOAL := help
.PHONY: help lab serve test check fuzz bench bench-controller bench-lab peers picture clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

# Debian keeps knotd where only root looks.
export PATH := $(PATH):/usr/sbin

LISTEN := 127.0.0.1:1053
PYTHONS := $(or $(PYTHON),python3.14 python3.13 python3.12 python3.11 python3)

# The first Python that is new enough and has what makes virtual environments: on Debian that is a package of its own.
define FIND_PYTHON
for python in $(PYTHONS); do \
    if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
        command -v "$$python"; exit; \
    fi; \
done
endef

help:  ## Say what can be made
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1\t\2/p' Makefile | expand -t 24

lab: $(STAMP)  ## Run a cluster of pretend pods with its DNS on 127.0.0.1 port 1053, or on LISTEN=ADDRESS:PORT
	$(BIN)/headlessdns lab config/examples/nginx.yaml --dns $(LISTEN) $(ARGS)

serve: $(STAMP)  ## Serve the examples on 127.0.0.1 port 1053, or on LISTEN=ADDRESS:PORT
	$(BIN)/headlessdns serve --manifests config/examples --listen $(LISTEN) $(ARGS)

test: $(STAMP)  ## Run all tests; those that need a missing tool skip and name it
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

check: $(STAMP)  ## Check format, lint, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fuzz: $(STAMP)  ## Send 1,000,000 random and mutated packets
	FUZZ_PACKETS=1000000 $(BIN)/python -m pytest --timeout=0 tests/fuzz $(ARGS)

bench: $(STAMP)  ## Measure against Knot and CoreDNS
	@for need in knotd:knot dnsperf:dnsperf; do \
	    command -v "$${need%:*}" >/dev/null && continue; \
	    echo "$${need%:*} is missing. On Debian: apt-get install $${need#*:}" >&2; exit 1; \
	done
	$(BIN)/python -m bench $(ARGS)

bench-controller: $(STAMP)  ## Measure the controller against kube-controller-manager
	$(BIN)/python -m bench.controller $(ARGS)
	$(BIN)/python -m bench.held

bench-lab: $(STAMP)  ## Measure the embedded API against kube-apiserver and etcd
	$(BIN)/python -m bench.lab $(ARGS)

peers: $(STAMP)  ## Build etcd, kube-apiserver, kubectl and CoreDNS for the tests (minutes, once)
	$(BIN)/python -m tests.peers
	$(BIN)/python -m tests.peers.kubectls

picture: $(STAMP)  ## Draw docs/lab.svg, the table of a lab that runs
	$(BIN)/python docs/picture.py docs/lab.svg

clean:  ## Remove all that was made in this folder
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml
	@"$(BIN)/python" -c 'import pip' 2>/dev/null || { \
	    python=$$($(FIND_PYTHON)); \
	    if [ -z "$$python" ]; then \
	        echo "No Python 3.11 or newer with its venv module was found as $(PYTHONS)." >&2; \
	        echo "On Debian: apt-get install python3 python3-venv. To choose another: make PYTHON=/path/to/python3" >&2; \
	        exit 1; \
	    fi; \
	    echo "Making $(VENV) with $$python"; \
	    "$$python" -m venv --clear $(VENV); \
	}
	@echo "Installing into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,check]'
	@touch $(STAMP)
