#!/usr/bin/env bash
# Refuse a release of a commit on which CI did not pass: one that was not run there, is under way, or is red.
#
# Reads REPOSITORY, REVISION, and GH_TOKEN for gh.
set -euo pipefail

runs="repos/$REPOSITORY/actions/workflows/ci.yml/runs?head_sha=$REVISION&event=push&per_page=1"
found=$(gh api "$runs" --jq '.workflow_runs[0] | "\(.status) \(.conclusion)"')
case $found in
    "completed success") ;;
    completed*) echo "CI is red on $REVISION (${found#completed }): nothing is released" >&2; exit 1 ;;
    "null null") echo "CI did not run on $REVISION: push the commit to main, and the tag when CI is green" >&2; exit 1 ;;
    *) echo "CI is under way on $REVISION ($found): run this job again when it is green" >&2; exit 1 ;;
esac
