"""Look up the packages of an environment among known weaknesses, with pip-audit; for `make security`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PATIENCE_S = 300


def main(site_packages: str) -> int:
    """
    Exit code 1 where a package has a known weakness.

    Where none of the packages can be looked up, this machine does not reach the database of weaknesses: that is said,
    and is an error in CI only.
    """
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--path",
        site_packages,
        "--format",
        "json",
        "--progress-spinner",
        "off",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        found = []
    looked_up = [package for package in found if "vulns" in package]
    if not looked_up:
        print(f"pip-audit: not one of {len(found)} packages could be looked up from here\n{done.stderr[-500:]}")
        return int(os.environ.get("GITHUB_ACTIONS") == "true")
    weak = [package for package in looked_up if package["vulns"]]
    for package in weak:
        for weakness in package["vulns"]:
            fixed = ", ".join(weakness.get("fix_versions", ())) or "no version yet"
            print(f"{package['name']} {package['version']}: {weakness['id']}, corrected in {fixed}")
    print(f"pip-audit: {len(looked_up)} packages, {len(weak)} with known weaknesses")
    return int(bool(weak))


if __name__ == "__main__":
    raise SystemExit(main(str(Path(sys.argv[1]).resolve())))
