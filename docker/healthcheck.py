"""The image's HEALTHCHECK: asks a coordinator whether it is well; whatever else runs in the container is well."""

from __future__ import annotations

import ssl
import sys
import urllib.request
from pathlib import Path

DEFAULT_PORT = "8470"


def main() -> int:
    """0 where all is well, 1 where a coordinator does not say so."""
    words = Path("/proc/1/cmdline").read_bytes().decode("utf-8", "replace").replace("=", "\0").split("\0")
    if "coordinator" not in words or {"key", "enrol", "backup"} & set(words):
        return 0
    port = words[words.index("--port") + 1] if "--port" in words[:-1] else DEFAULT_PORT
    scheme = "https" if "--tls-cert" in words else "http"
    anyone = ssl._create_unverified_context()  # noqa: S323 - it asks itself, by an address that no certificate names
    try:
        with urllib.request.urlopen(f"{scheme}://127.0.0.1:{port}/healthz", timeout=4, context=anyone) as answer:  # noqa: S310
            return 0 if answer.status == 200 else 1
    except OSError as error:
        print(error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
