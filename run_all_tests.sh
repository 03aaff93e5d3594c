#!/usr/bin/env bash
# The project's own tests, run by dt itself. The last line reads `N passed, N failed, N skipped`.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: run_all_tests.sh [--type TYPE] [--filter EXPRESSION] [--verbose] [--log-dir DIRECTORY]

  --type TYPE           only tests of this type: unit, integration, fault, monitoring, stress or e2e
  --filter EXPRESSION   only tests that match, as for `pytest -k`
  --verbose             tell more
  --log-dir DIRECTORY   where the reports and the log go (default: test_reports)
TEXT
}

refuse() {
    echo "error: $1" >&2
    usage >&2
    exit 4
}

cd "$(dirname "${BASH_SOURCE[0]}")"
log_dir=test_reports
# A test of faults can meet one that it did not make: it is tried again, and told as flaky where that helps.
options=(run --test-dir tests --retries 2 --case-timeout 10m --collect-timeout 5m)

while (($#)); do
    case $1 in
        --verbose) options+=(--verbose) && shift && continue ;;
        -h | --help) usage && exit 0 ;;
        --type | --filter | --log-dir) [[ $# -ge 2 && -n $2 ]] || refuse "$1 needs a value" ;;
        *) refuse "unknown option $1" ;;
    esac
    case $1 in
        --type) options+=(--test-type "$2") ;;
        --filter) options+=(--pytest-args "-k '$(sed "s/'/'\\\\''/g" <<< "$2")'") ;;
        --log-dir) log_dir=$2 ;;
    esac
    shift 2
done

dt=${DT:-}
if [[ -z $dt ]]; then
    if [[ -x .venv/bin/dt ]]; then dt=.venv/bin/dt; else dt=dt; fi
fi
command -v "$dt" > /dev/null || refuse "no dt found; run \`make test\`, or set DT to where it is"

mkdir -p "$log_dir"
"$dt" "${options[@]}" --output-dir "$log_dir" 2>&1 | tee "$log_dir/run_all_tests.log"
