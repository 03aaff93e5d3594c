"""The container engine, Docker or Podman, behind the few verbs that slots in containers need."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dt_action.errors import ConfigurationError, FleetError

OWNER = "dt.owner"
RUN = "dt.run"
EXPIRES = "dt.expires"
LONGEST_RUN_S = 24 * 3600.0
TELL_EVERY_S = 2.0
TIMEOUT_S = 60


@dataclass(slots=True)
class Container:
    """One container. Made by `Engine.create`."""

    api: Any
    id: str

    def put(self, archive: bytes, folder: str) -> None:
        """Unpack a tar archive into a folder of the container, which need not run."""
        self.api.put_archive(self.id, folder, archive)

    def get(self, folder: str) -> Iterator[bytes]:
        """A folder of the container, which may have ended, as the pieces of a tar archive."""
        pieces: Iterator[bytes] = self.api.get_archive(self.id, folder)[0]
        return pieces

    def attach(self) -> socket.socket:
        """Its three standard streams over one socket."""
        wrapped = self.api.attach_socket(self.id, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        stream: socket.socket = getattr(wrapped, "_sock", wrapped)
        return stream

    def start(self) -> None:
        """Start it."""
        self.api.start(self.id)

    def wait_until(self, deadline: float) -> tuple[int, bool]:
        """Its exit code and whether it ran out of memory; (-9, False) where it still runs at the deadline."""
        while True:
            try:
                state = self.api.inspect_container(self.id)["State"]
            except Exception:  # gone already: the engine's own error, or no engine any more
                return -9, False
            if not state.get("Running"):
                return int(state.get("ExitCode", -9)), bool(state.get("OOMKilled"))
            if time.monotonic() >= deadline:
                return -9, False
            time.sleep(0.02)


class Engine:
    """A container engine on this machine. `connect` finds it."""

    def __init__(self, client: Any) -> None:
        self._api = client.api
        info = client.info()
        self._is_rootless = any("rootless" in option for option in info.get("SecurityOptions") or ())

    @classmethod
    def connect(cls, environ: Mapping[str, str]) -> Engine:
        """
        The engine of DOCKER_HOST, else the first that answers: Docker, rootless Docker, Podman.

        Raises FleetError where none answers, saying what each said.
        """
        import docker

        said = []
        for url in _urls(environ):
            try:
                return cls(docker.DockerClient(base_url=url, timeout=TIMEOUT_S))
            except Exception as error:  # requests' and docker's own, a missing socket, a refusal
                said.append(f"{url}: {_in_short(error)}")
        forbidden = any("ermission denied" in line for line in said)
        raise FleetError(
            "no container engine answers\n" + "\n".join(f"  {line}" for line in said),
            hint="join the group of the socket, or use a rootless engine"
            if forbidden
            else "start Docker or Podman (`systemctl --user start podman.socket`), or name it in DOCKER_HOST",
        )

    def ensure_image(self, image: str, say: Callable[[str], None]) -> None:
        """Pull the image where it is not here, telling how far that is. Raises ConfigurationError where that fails."""
        from docker.errors import APIError, ImageNotFound

        with contextlib.suppress(ImageNotFound):
            self._api.inspect_image(image)
            return
        say(f"pulling {image}")
        name, _, tag = image.partition("@") if "@" in image else _tagged(image)
        try:
            layers: dict[str, tuple[int, int]] = {}
            told_at = time.monotonic()
            for step in self._api.pull(name, tag=tag, stream=True, decode=True):
                if "error" in step:
                    raise ConfigurationError(f"{image} cannot be pulled: {step['error']}", hint=_PULL_HINT)
                detail = step.get("progressDetail") or {}
                if detail.get("total"):
                    layers[step.get("id", "")] = detail.get("current", 0), detail["total"]
                if layers and time.monotonic() - told_at >= TELL_EVERY_S:
                    told_at = time.monotonic()
                    done, total = (sum(part) / 1e6 for part in zip(*layers.values(), strict=True))
                    say(f"pulling {image}: {done:.0f} of {total:.0f} MB")
        except APIError as error:
            raise ConfigurationError(f"{image} cannot be pulled: {_in_short(error)}", hint=_PULL_HINT) from error

    def create(
        self, image: str, *, volume: str, host: dict[str, Any], gpus: tuple[str, ...], **description: Any
    ) -> Container:
        """
        Make a container with open standard streams, and an empty volume of its own at `volume`.

        `host` has what the SDK's create_host_config takes, `description` what its create_container takes.
        """
        from docker.types import DeviceRequest, LogConfig

        if gpus:
            wanted = {"count": -1} if gpus == ("all",) else {"device_ids": list(gpus)}
            host = {**host, "device_requests": [DeviceRequest(capabilities=[["gpu"]], **wanted)]}
        host = {**host, "log_config": LogConfig(type=host["log_config"]["type"])}
        made = self._api.create_container(
            image,
            command=[],
            volumes=[volume],
            stdin_open=True,
            host_config=self._api.create_host_config(**host),
            **description,
        )
        return Container(self._api, made["Id"])

    def kill(self, container: Container, signal: str) -> None:
        """Signal it; one that is gone already stays gone."""
        with contextlib.suppress(Exception):
            self._api.kill(container.id, signal)

    def remove(self, container: Container) -> None:
        """Remove it, running or not, with its own volume."""
        with contextlib.suppress(Exception):
            self._api.remove_container(container.id, v=True, force=True)

    def sweep(self, is_unwanted: Callable[[Mapping[str, str]], bool]) -> int:
        """Remove those of our containers, of whatever run, whose labels are unwanted; tells how many."""
        swept = 0
        for found in self._api.containers(all=True, filters={"label": [OWNER]}):
            if is_unwanted(found.get("Labels") or {}):
                self.remove(Container(self._api, found["Id"]))
                swept += 1
        return swept

    def user_for(self, root: Path) -> str:
        """
        Whom tests run as in the container, so that what they write belongs to the owner of the workspace.

        In a rootless engine the container's root is the user who runs the engine.
        """
        if self._is_rootless or not hasattr(os, "getuid"):
            return "0:0"
        status = root.stat()
        return f"{status.st_uid}:{status.st_gid}"

    def path_of(self, path: Path) -> Path:
        """
        Where the engine finds a folder of ours: the same place, unless we are in a container of that engine.

        Raises FleetError where the folder is only in our own container.
        """
        if not Path("/.dockerenv").exists():
            return path
        with contextlib.suppress(Exception):
            mounts = self._api.inspect_container(socket.gethostname())["Mounts"]
            for mount in sorted(mounts, key=lambda mount: len(mount["Destination"]), reverse=True):
                if path.is_relative_to(mount["Destination"]):
                    return Path(mount["Source"]) / path.relative_to(mount["Destination"])
            raise FleetError(
                f"{path} is inside this container, where the engine cannot see it",
                hint="mount the project into this container with -v, or run dt on the machine itself",
            )
        return path


_PULL_HINT = "check the image's name, and that the engine is logged in to its registry (`docker login`)"


def labels_of(run: str) -> dict[str, str]:
    """The labels of the containers of a run, or of a lease of it: who made them, and when they are left over."""
    return {OWNER: owner_mark(), RUN: run, EXPIRES: str(int(time.time() + LONGEST_RUN_S))}


def is_leftover(labels: Mapping[str, str]) -> bool:
    """True where the process that made a container is gone, as far as can be told from here, or its time is over."""
    machine, _, rest = labels.get(OWNER, "").partition("/")
    pid, _, started = rest.partition("/")
    if machine == socket.gethostname() and pid.isdigit() and _started(int(pid)) != started:
        return True
    return time.time() > float(labels.get(EXPIRES, "inf"))


def owner_mark() -> str:
    """This process: machine, process id, and when the process started, since ids are used again."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def _started(pid: int) -> str:
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19]
    return ""


def _urls(environ: Mapping[str, str]) -> list[str]:
    if environ.get("DOCKER_HOST"):
        return [environ["DOCKER_HOST"]]
    folder = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid() if hasattr(os, 'getuid') else 0}"
    sockets = (
        "/var/run/docker.sock",
        f"{folder}/docker.sock",
        f"{folder}/podman/podman.sock",
        "/run/podman/podman.sock",
    )
    here = [f"unix://{path}" for path in sockets if Path(path).exists()]
    return here or ["npipe:////./pipe/docker_engine" if os.name == "nt" else f"unix://{sockets[0]}"]


def _tagged(image: str) -> tuple[str, str, str]:
    name, colon, tag = image.rpartition(":")
    return (name, colon, tag) if colon and "/" not in tag else (image, ":", "latest")


def _in_short(error: Exception) -> str:
    return str(getattr(error, "explanation", "") or error).strip().partition("\n")[0][:500]
