# The one image: the GitHub Action, GitLab and Jenkins jobs, `docker run`, the coordinator and its workers.
#
#   docker build -t distributed-testing .
#   docker build -t mine --build-arg BASE=pytorch/pytorch:latest .     (any Debian or Ubuntu with Python 3.10+)
#
# dt has a virtual environment of its own, /opt/dt. Tests run in another one, /opt/tests, which sees the packages of the
# base image's Python and which anybody may write to, since Jenkins and others choose the user.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ARG EXTRAS=coordinator
ENV UV_SYSTEM_CERTS=1 UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy PIP_NO_CACHE_DIR=1
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --quiet "uv>=0.9"
ENV PATH=/opt/build/bin:$PATH
COPY pyproject.toml README.md LICENSE /src/
COPY dt_action /src/dt_action
RUN uv venv --quiet --python "$(command -v python3)" /opt/dt \
    && uv pip install --quiet --python /opt/dt/bin/python "/src[${EXTRAS}]" \
    && cp /opt/build/bin/uv /opt/dt/bin/uv
RUN uv venv --quiet --seed --system-site-packages --python "$(command -v python3)" /opt/tests \
    && uv pip install --quiet --python /opt/tests/bin/python "pytest>=7.4" "coverage>=7.15.4" \
    && chmod -R a+rwX /opt/tests
COPY entrypoint.py docker/healthcheck.py /opt/dt/

FROM ${BASE}
LABEL org.opencontainers.image.title="Distributed Testing" \
      org.opencontainers.image.description="Run a Python project's tests where the hardware they need is" \
      org.opencontainers.image.licenses="Apache-2.0"
# git tells which files are the project's; procps is what Jenkins looks at containers with.
RUN apt-get update -q \
    && apt-get install -y -q --no-install-recommends ca-certificates git procps \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /usr/share/doc/* /usr/share/man/* \
        /usr/share/locale/* \
    && git config --system --add safe.directory '*' \
    && useradd --create-home --uid 10001 dt && install -d -o dt -g dt /data
COPY --from=build /opt/dt /opt/dt
COPY --from=build /opt/tests /opt/tests
RUN ln -s /opt/dt/bin/dt /opt/dt/bin/uv /usr/local/bin/
# The certificates of the base image count, so that a private authority is trusted once it is in there. DT_DEFAULT_* are
# defaults, which the project's own configuration outranks.
ENV DT_DEFAULT_PYTHON=/opt/tests/bin/python DT_DEFAULT_REQUIREMENTS=auto DT_IN_IMAGE=1 \
    XDG_CACHE_HOME=/tmp/.cache UV_SYSTEM_CERTS=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore \
    REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt \
    PYTHONUNBUFFERED=1
WORKDIR /work
# Only a coordinator answers; in every other role the check passes at once.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/opt/dt/bin/python", "/opt/dt/healthcheck.py"]
# The runner of GitHub needs root to write to the workspace it mounts; elsewhere `docker run --user` is fine.
ENTRYPOINT ["/opt/dt/bin/python", "/opt/dt/entrypoint.py"]
