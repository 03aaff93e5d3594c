"""A Ray cluster in processes of its own, with the environment, ports and autoscaler that a test asks for."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from coordinator_rig import free_port, wait_until

_SCRIPT = """
import json, sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args=json.loads(sys.argv[1]))
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


_COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
    "cluster_synced_files",
)


@contextlib.contextmanager
def cluster_elsewhere(head: Mapping[str, Any], **environ: str) -> Iterator[str]:
    """The address of a cluster of one node; it ends with the block."""
    command = [sys.executable, "-c", _SCRIPT, json.dumps(head)]
    with subprocess.Popen(
        command, env={**os.environ, **environ}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = next((line.strip() for line in process.stdout if line.strip().count(":") == 1), "")
        assert address, "the cluster did not start"
        try:
            yield address
        finally:
            process.communicate("", timeout=60)


@contextlib.contextmanager
def cluster_that_grows(folder: Path, kinds: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """
    A cluster of a head without processors, and of nodes that Ray's autoscaler starts here when they are asked for.

    `kinds` has the resources of each kind of node by name. Ray finds nothing of it again by name when it ends, so the
    processes that have `folder` in their command lines are ended, which is Ray's folder for this cluster alone.
    """
    port = free_port()
    config = {
        "cluster_name": "growing",
        "max_workers": 4,
        "upscaling_speed": 10.0,
        "idle_timeout_minutes": 10,
        "provider": {
            "type": "fake_multinode",
            "gcs_address": f"127.0.0.1:{port}",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            **{
                name: {"resources": dict(kind), "node_config": {}, "min_workers": 0, "max_workers": 2}
                for name, kind in kinds.items()
            },
        },
        "head_node_type": "ray.head.default",
        **{name: {} for name in ("auth", "head_node", "worker_nodes", "file_mounts")},
        **{name: [] for name in _COMMANDS},
    }
    file = folder / "autoscaler.json"
    file.write_text(json.dumps(config))
    command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", f"--port={port}"]
    command += ["--num-cpus=0", f"--autoscaling-config={file}", f"--temp-dir={folder}", "--include-dashboard=false"]
    environ = {**os.environ, "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1"}
    with (folder / "start.log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        wait_until(lambda: b"Ray runtime started" in (folder / "start.log").read_bytes(), what="the head")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        for pid in _with_word(str(folder)):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _with_word(word: str) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if word.encode() in (entry / "cmdline").read_bytes() and int(entry.name) != os.getpid():
                yield int(entry.name)
