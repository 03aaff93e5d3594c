#!/usr/bin/env bash
# Install dt beside the job's Python; tell where it is (output `dt`) and in which Python the tests run (`python`).
set -euo pipefail

python=""
for name in python3 python; do
  if command -v "$name" >/dev/null 2>&1 && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    python=$name
    break
  fi
done
if [ -z "$python" ]; then
  echo "::error title=No Python::expected Python 3.10 or newer in PATH, found none; add actions/setup-python before this step"
  exit 4
fi

home=${RUNNER_TEMP:-/tmp}/distributed-testing
"$python" -m venv "$home"
bin=$home/bin
[ -d "$bin" ] || bin=$home/Scripts
# uv, where there is one for this machine, makes the tests' environment much faster than pip.
"$bin/python" -m pip install --quiet --disable-pip-version-check "$(dirname "$0")/.." uv ||
  "$bin/python" -m pip install --quiet --disable-pip-version-check "$(dirname "$0")/.."
# The tests run in the job's own Python, which must have pytest; what the user sets as `python` wins.
wanted=pytest
case ${COVERAGE:-} in [Tt]rue | yes | on | 1) wanted="pytest coverage" ;; esac
for name in $wanted; do
  "$python" -c "import $name" 2>/dev/null || "$python" -m pip install --quiet --disable-pip-version-check "$name"
done
{
  echo "dt=$bin/dt"
  echo "python=$("$python" -c 'import sys; print(sys.executable)')"
} >>"$GITHUB_OUTPUT"
