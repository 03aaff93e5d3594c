#!/usr/bin/env bash
# Install the real clients that tests/e2e drives: Docker Engine, act, actionlint, zizmor, check-jsonschema,
# gitlab-ci-local, Groovy 2.4 and npm-groovy-lint. Safe to call again: it does only what is missing.
#
#   tests/e2e/setup.sh            all of them
#   tests/e2e/setup.sh --stop     end the Docker Engine that this script started
#
# Programs go to $DT_E2E_TOOLS (default ~/.cache/dt-e2e); put $DT_E2E_TOOLS/bin in PATH, as tests/e2e/conftest.py does.
# What cannot be installed here is told and skipped; a test whose client is absent skips with that reason.
# Needs root on Debian or Ubuntu for the Docker Engine and Groovy, and go, node and python3 for the rest.
set -uo pipefail

TOOLS=${DT_E2E_TOOLS:-$HOME/.cache/dt-e2e}
ACT_VERSION=${ACT_VERSION:-v0.2.89}
ACTIONLINT_VERSION=${ACTIONLINT_VERSION:-v1.7.12}
GITLAB_CI_LOCAL_VERSION=4.63.0 # later ones need Node 22
BASE_IMAGE=python:3.13-slim
mkdir -p "$TOOLS/bin"
missing=()

told() { # told NAME COMMAND...: run it quietly; on failure say so and go on
  local name=$1 log
  shift
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    echo "e2e: $name could not be installed; the end of its output:" >&2
    tail -5 "$log" >&2
    missing+=("$name")
  fi
  rm -f "$log"
}

has() { command -v "$1" >/dev/null 2>&1 || [ -x "$TOOLS/bin/$1" ]; }

apt_packages() {
  local wanted=()
  has dockerd || wanted+=(docker.io iptables)
  has debootstrap || wanted+=(debootstrap)
  has rsync || wanted+=(rsync)
  has groovy || wanted+=(groovy)
  [ ${#wanted[@]} -eq 0 ] && return 0
  apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${wanted[@]}"
}

start_engine() {
  docker version && return 0
  command -v dockerd || return 1
  rm -f /var/run/docker.pid
  setsid dockerd -H unix:///var/run/docker.sock >"$TOOLS/dockerd.log" 2>&1 </dev/null &
  echo $! >"$TOOLS/dockerd.pid"
  for _ in $(seq 1 120); do
    docker version && return 0
    sleep 0.5
  done
  tail -20 "$TOOLS/dockerd.log"
  return 1
}

base_image() { # the official image where a registry answers, else one of the same promises made with debootstrap
  docker image inspect "$BASE_IMAGE" && return 0
  timeout 60 docker pull "$BASE_IMAGE" && return 0
  local root mirror
  root=$(mktemp -d "$TOOLS/rootfs.XXXXXX")
  mirror=$(awk '/^URIs:/{print $2; exit}' /etc/apt/sources.list.d/*.sources 2>/dev/null || true)
  debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates trixie "$root" ${mirror:+"$mirror"} || return 1
  ln -sf python3 "$root/usr/bin/python"
  rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  [ -f "$HOME/.config/pip/pip.conf" ] && sed '/index-url *= *file:/d; /find-links/d' "$HOME/.config/pip/pip.conf" >"$root/etc/pip.conf"
  tar -C "$root" -c . | docker import -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' -c 'CMD ["python3"]' - "$BASE_IMAGE" || return 1
  rm -rf "$root"
}

gitlab_helper_image() { # gitlab-ci-local copies artifacts and caches with the rsync of this image
  docker image inspect firecow/gitlab-ci-local-util:latest && return 0
  timeout 60 docker pull docker.io/firecow/gitlab-ci-local-util:latest && return 0
  printf 'FROM %s\nRUN apt-get update -q && apt-get install -y -q --no-install-recommends rsync zip unzip\n' "$BASE_IMAGE" |
    docker build -t docker.io/firecow/gitlab-ci-local-util:latest -
}

python_programs() {
  [ -x "$TOOLS/venv/bin/python" ] || python3 -m venv "$TOOLS/venv" || return 1
  "$TOOLS/venv/bin/pip" install -q zizmor check-jsonschema || return 1
  ln -sf "$TOOLS/venv/bin/zizmor" "$TOOLS/venv/bin/check-jsonschema" "$TOOLS/bin/"
}

node_program() { # node_program NAME PACKAGE: one folder each, since their dependencies clash
  npm install --silent --no-fund --no-audit --prefix "$TOOLS/npm/$1" "$2" && ln -sf "$TOOLS/npm/$1/node_modules/.bin/$1" "$TOOLS/bin/$1"
}

if [ "${1:-}" = --stop ]; then
  [ -s "$TOOLS/dockerd.pid" ] && kill "$(cat "$TOOLS/dockerd.pid")" 2>/dev/null
  rm -f "$TOOLS/dockerd.pid"
  exit 0
fi

told "Debian packages (docker.io, debootstrap, rsync, groovy)" apt_packages
told "the Docker Engine" start_engine
told "the image $BASE_IMAGE" base_image
told "the helper image of gitlab-ci-local" gitlab_helper_image
{ has zizmor && has check-jsonschema; } || told "zizmor and check-jsonschema" python_programs
has actionlint || told actionlint env GOBIN="$TOOLS/bin" go install "github.com/rhysd/actionlint/cmd/actionlint@$ACTIONLINT_VERSION"
has act || told act env GOBIN="$TOOLS/bin" go install "github.com/nektos/act@$ACT_VERSION"
has gitlab-ci-local || told gitlab-ci-local node_program gitlab-ci-local "gitlab-ci-local@$GITLAB_CI_LOCAL_VERSION"
has npm-groovy-lint || told npm-groovy-lint node_program npm-groovy-lint npm-groovy-lint

[ ${#missing[@]} -eq 0 ] && echo "e2e: all clients are in $TOOLS/bin and PATH"
exit 0
