#!/usr/bin/env bash
# Make the checkout the release's: its version is the tag's, and every name of the project is that of who releases it.
#
# Reads VERSION (v1.2.3), REPOSITORY (OWNER/NAME) and REGISTRY (ghcr.io).
set -euo pipefail

[[ $VERSION =~ ^v[0-9]+\.[0-9]+\.[0-9]+$ ]] || { echo "expected a version such as v1.2.3, found '$VERSION'" >&2; exit 4; }

sed -i "s/^__version__ = .*/__version__ = \"${VERSION#v}\"/" dt_action/__init__.py
grep -q "^__version__ = \"${VERSION#v}\"$" dt_action/__init__.py
python3 tools/release_names.py --repository "$REPOSITORY" --registry "${REGISTRY:-ghcr.io}"

# GitHub takes no change of a workflow from a job's own token, and would say so only after the image was pushed.
if [ -z "${HAS_RELEASE_TOKEN:-}" ] && [ -n "$(git diff --name-only -- .github/workflows)" ]; then
    echo "The release writes $REPOSITORY into .github/workflows, which needs the secret RELEASE_TOKEN (contents and" >&2
    echo "workflows: write). Or commit what 'python tools/release_names.py --repository $REPOSITORY' writes." >&2
    exit 4
fi
