# Two commands for a fresh machine with Python 3.10+ and make: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DT := $(BIN)/dt

.PHONY: demo test quick lint security format docs bench clean

demo: $(VENV)/run.stamp  ## dt on a small project whose tests pass, fail, flake, crash and need a GPU
	@cd examples/quickstart && code=0; ../../$(DT) run --output-dir ../../demo_reports || code=$$?; \
	echo "dt ended with code $$code; 1 is right: the example holds a test that fails and one that crashes"; \
	test $$code -eq 1
	@echo "open $$(ls -t demo_reports/*.html | head -1)"

test: $(VENV)/dev.stamp  ## the project's tests, run by dt itself
	@DT=$(DT) ./run_all_tests.sh $(ARGS)

quick: lint  ## style, types, layers and the unit tests, in less than three minutes
	@DT=$(DT) ./run_all_tests.sh --type unit

lint: $(VENV)/dev.stamp  ## style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

security: $(VENV)/dev.stamp $(VENV)/security.stamp  ## weaknesses in our code and in what it is built on
	$(VENV)/security/bin/bandit --quiet --recursive --severity-level medium dt_action entrypoint.py tools
	$(VENV)/security/bin/semgrep scan --quiet --error --metrics off --disable-version-check --config tools/semgrep.yml dt_action tools
	$(VENV)/security/bin/python tools/audit_packages.py "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/run.stamp  ## pages that are written from code
	$(DT) config --reference > docs/options.md
	$(BIN)/python tools/interfaces.py
	$(BIN)/python tools/report_schema.py

BENCHES := startup discovery analysis_speed reports_scale simulate

bench: $(VENV)/dev.stamp  ## the benchmarks that need nothing but this checkout
	@for name in $(BENCHES); do echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

clean:
	rm -rf $(VENV) demo_reports test_reports .dt_cache

# A stamp stands for an installation; it is older than pyproject.toml when the dependencies may have changed.
$(VENV)/run.stamp: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/dev.stamp: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/run.stamp

# Their dependencies do not go with ours, so they have an environment of their own.
$(VENV)/security.stamp: | $(BIN)/python
	$(BIN)/python -m venv $(VENV)/security
	$(VENV)/security/bin/python -m pip install --quiet --disable-pip-version-check 'bandit>=1.9' 'pip-audit>=2.9' 'semgrep>=1.140'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	{ echo "Python 3.10 or newer is needed, found $$($(PYTHON) --version); try make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	{ rm -rf $(VENV); echo "python3 cannot make a virtual environment; on Debian: apt install python3-venv"; exit 1; }
