"""
Attacks on a coordinator, one after the other, and what each costs it. Prints a table in Markdown.

    python benchmarks/coordinator_attack.py                 # all of them
    python benchmarks/coordinator_attack.py large_body      # those whose name begins so

The coordinator is a process of its own with the soft limit of 1,024 descriptors that services commonly get. While an
attack goes on, a probe asks `/healthz` on a new connection every 50 ms, and an honest worker and an honest client go on
with what they do. Told are: the processor time that the coordinator spent, the growth of its memory, the longest wait
of the probe, what the attacker got for it, whether the honest ones got through, and the tracebacks in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import requests
from coordinator_rig import Coordinator

from dt_action.remote import wire

SOFT_DESCRIPTORS = 1024
PROBE_EVERY_S = 0.05
MOST_S = 60.0
KIB, MIB = 1 << 10, 1 << 20


@dataclass
class Answer:
    """The status of a response (0: none came) and how many bytes it had."""

    status: int
    size: int


@dataclass
class Target:
    """A coordinator under attack, with an honest key and an honest worker."""

    coordinator: Coordinator
    key: str
    worker: str
    jwt: str
    run: str = ""
    held: list[asyncio.StreamWriter] = field(default_factory=list)

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        credential: str = "",
        *,
        cookie: str = "",
        most_s: float = MOST_S,
    ) -> Answer:
        """One request on a connection of its own."""
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        head += "Content-Type: application/json\r\n"
        head += f"Authorization: Bearer {credential}\r\n" if credential else ""
        head += f"Cookie: {cookie}\r\n" if cookie else ""
        try:
            return await asyncio.wait_for(self._exchange(head.encode() + b"\r\n", body), most_s)
        except (OSError, asyncio.TimeoutError):
            return Answer(0, 0)

    async def _exchange(self, head: bytes, body: bytes) -> Answer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.coordinator.port)
        sending = asyncio.create_task(self._send(writer, head, body))
        got = b""
        try:
            with contextlib.suppress(OSError):
                while piece := await reader.read(1 << 16):
                    got = got or piece
                    size = len(piece)
                    while piece := await reader.read(1 << 16):
                        size += len(piece)
                    return Answer(int(got[9:12]), size)
        finally:
            sending.cancel()
            writer.close()
        return Answer(0, 0)

    async def _send(self, writer: asyncio.StreamWriter, head: bytes, body: bytes) -> None:
        with contextlib.suppress(OSError):
            writer.write(head)
            for begin in range(0, len(body), 1 << 16):
                writer.write(body[begin : begin + (1 << 16)])
                await writer.drain()

    async def hold(self, words: bytes) -> asyncio.StreamReader | None:
        """A connection that says these words and then nothing."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.coordinator.port)
            writer.write(words)
            self.held.append(writer)
        except OSError:
            return None
        return reader

    def let_go(self) -> None:
        """Close the connections that are held."""
        for writer in self.held:
            writer.close()
        self.held.clear()

    async def is_honest_work_done(self) -> str:
        """Whether the honest key and the honest worker are let in now."""
        poll = json.dumps({"boot": "honest", "wait_s": 0}).encode()
        refused = []
        if (answer := await self.ask("GET", f"{wire.API}/runs", credential=self.key, most_s=10)).status != 200:
            refused.append(f"client {answer.status}")
        if (answer := await self.ask("POST", f"{wire.API}/leases", poll, self.jwt, most_s=10)).status != 200:
            refused.append(f"worker {answer.status}")
        return ", ".join(refused) or "yes"


Attack = Callable[[Target], Awaitable[Counter[str]]]
ATTACKS: dict[str, tuple[str, Attack]] = {}


def attack(function: Attack) -> Attack:
    """One of the attacks; its docstring names it in the table."""
    ATTACKS[function.__name__] = (function.__doc__ or "").rstrip("."), function
    return function


def _told(answers: list[Answer]) -> Counter[str]:
    """The statuses, and the largest answer."""
    told = Counter(str(answer.status or "none") for answer in answers)
    told[f"at most {max(answer.size for answer in answers):,} B"] = 1
    return told


def wrong_shape(size: int) -> bytes:
    """An object without the keys that are expected, and with one large value."""
    return b'{"x":[' + b"[]," * ((size - 10) // 3) + b"[]]}"


@attack
async def large_body_enrol_1(target: Target) -> Counter[str]:
    """`POST /workers`, 1 MiB of another shape, no credential."""
    return _told([await target.ask("POST", f"{wire.API}/workers", wrong_shape(MIB))])


@attack
async def large_body_enrol_8(target: Target) -> Counter[str]:
    """the same, 8 MiB."""
    return _told([await target.ask("POST", f"{wire.API}/workers", wrong_shape(8 * MIB))])


@attack
async def large_body_submit(target: Target) -> Counter[str]:
    """`POST /runs`, 55 MiB, no credential."""
    return _told([await target.ask("POST", f"{wire.API}/runs", wrong_shape(55 * MIB))])


@attack
async def large_body_with_key(target: Target) -> Counter[str]:
    """`POST /runs`, 8 MiB of another shape, an honest key."""
    return _told([await target.ask("POST", f"{wire.API}/runs", wrong_shape(8 * MIB), target.key)])


@attack
async def large_body_poll(target: Target) -> Counter[str]:
    """`POST /leases`, 8 MiB of another shape, a worker's token."""
    return _told([await target.ask("POST", f"{wire.API}/leases", wrong_shape(8 * MIB), target.jwt)])


@attack
async def many_strings_with_key(target: Target) -> Counter[str]:
    """`POST /runs`, 15 MiB of short strings, an honest key."""
    return _told([await target.ask("POST", f"{wire.API}/runs", b"[" + b'"ab",' * (3 * MIB) + b"1]", target.key)])


@attack
async def many_objects_with_key(target: Target) -> Counter[str]:
    """`POST /runs`, 15 MiB of as many objects as are read at all, an honest key."""
    return _told(
        [await target.ask("POST", f"{wire.API}/runs", b"[" + b'{"a":1},' * (15 * MIB // 8) + b"1]", target.key)]
    )


@attack
async def deep_body(target: Target) -> Counter[str]:
    """lists 100,000 deep to every path that takes a body, an honest key."""
    body = b"[" * 100_000
    paths = [f"{wire.API}/{path}" for path in ("runs", "workers", "leases", "history", f"runs/{'0' * 16}/cancel")]
    return _told([await target.ask("POST", path, body, target.key) for path in paths])


@attack
async def forged_tokens(target: Target) -> Counter[str]:
    """40 forged JWTs from the worker's own address (a test can do that)."""
    poll = json.dumps({"boot": "honest", "wait_s": 0}).encode()
    head = target.jwt.rpartition(".")[0]
    forged = [f"{head}.{hashlib.sha256(str(n).encode()).hexdigest()[:43]}" for n in range(40)]
    return _told([await target.ask("POST", f"{wire.API}/leases", poll, token) for token in forged])


@attack
async def forged_keys(target: Target) -> Counter[str]:
    """31 times `dtk_<id>_wrong` with the id of the honest key."""
    id = target.key.split("_")[1]
    return _told([await target.ask("GET", f"{wire.API}/runs", credential=f"dtk_{id}_wrong{n}") for n in range(31)])


@attack
async def forged_flood(target: Target) -> Counter[str]:
    """2,000 forged keys, 50 at a time."""

    async def some(begin: int) -> list[Answer]:
        return [
            await target.ask("GET", f"{wire.API}/runs", credential=f"dtk_{n:08x}_{n}") for n in range(begin, begin + 40)
        ]

    answers = await asyncio.gather(*(some(begin) for begin in range(0, 2000, 40)))
    return _told([answer for some_answers in answers for answer in some_answers])


@attack
async def streams(target: Target) -> Counter[str]:
    """1,000 streams of a run, one key, for 10 s."""
    words = f"GET {wire.API}/runs/{target.run}/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
    words += f"Authorization: Bearer {target.key}\r\n\r\n"
    return await _held(target, words.encode(), 1000, 10.0)


@attack
async def slow_heads(target: Target) -> Counter[str]:
    """3,000 connections that send half a head, for 10 s."""
    return await _held(target, b"GET /healthz HTTP/1.1\r\nX-Slow: ", 3000, 10.0)


@attack
async def slow_second_heads(target: Target) -> Counter[str]:
    """1,000 connections that send a request and then half a head, for 10 s."""
    return await _held(target, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nX-S: ", 1000, 10.0)


@attack
async def slow_bodies(target: Target) -> Counter[str]:
    """1,000 bodies of which the last byte never comes, no credential, for 10 s."""
    head = f"POST {wire.API}/workers HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{"
    return await _held(target, head.encode(), 1000, 10.0)


@attack
async def slow_bodies_with_key(target: Target) -> Counter[str]:
    """the same with an honest key, to `POST /runs`."""
    head = f"POST {wire.API}/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {target.key}\r\n"
    return await _held(target, (head + "Content-Length: 100\r\n\r\n{").encode(), 1000, 10.0)


async def _held(target: Target, words: bytes, count: int, seconds: float) -> Counter[str]:
    """Hold so many connections; what came back on them."""
    readers = []
    for begin in range(0, count, 50):
        readers += await asyncio.gather(*(target.hold(words) for _ in range(min(50, count - begin))))
    await asyncio.sleep(seconds)

    async def status(reader: asyncio.StreamReader | None) -> str:
        if reader is None:
            return "refused"
        try:
            head = await asyncio.wait_for(reader.read(4096), 0.2)
        except asyncio.TimeoutError:
            return "held"
        except OSError:
            return "closed"
        return head[9:12].decode("latin-1") or "closed"

    told = Counter(await asyncio.gather(*map(status, readers)))
    target.let_go()
    return told


@attack
async def logins(target: Target) -> Counter[str]:
    """2,000 failed logins with the token of a login page, 50 at a time."""
    page = requests.get(f"{target.coordinator.url}/login", timeout=10)
    token = page.text.partition('name="form_token" value="')[2].partition('"')[0]
    cookie = "; ".join(f"{name}={value}" for name, value in page.cookies.items())

    async def some(begin: int) -> list[Answer]:
        forms = [f"form_token={token}&key=dtk_{n:08x}_x".encode() for n in range(begin, begin + 40)]
        return [await target.ask("POST", "/login", form, cookie=cookie) for form in forms]

    answers = await asyncio.gather(*(some(begin) for begin in range(0, 2000, 40)))
    return _told([answer for some_answers in answers for answer in some_answers])


async def _probe(target: Target, waits: list[float], is_over: asyncio.Event) -> None:
    """Ask `/healthz` again and again; an answer that does not come within `MOST_S` counts as that."""
    while not is_over.is_set():
        began = time.perf_counter()
        await target.ask("GET", "/healthz")
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(PROBE_EVERY_S)


async def _measured(target: Target, what: str, function: Attack) -> str:
    waits: list[float] = []
    is_over = asyncio.Event()
    probe = asyncio.create_task(_probe(target, waits, is_over))
    await asyncio.sleep(0.3)
    waits.clear()
    cpu, memory, tracebacks = _cpu_s(target), _memory_mb(target, "VmRSS"), target.coordinator.log().count("Traceback")
    _forget_peak(target)
    began = time.perf_counter()
    told = await function(target)
    took_s = time.perf_counter() - began
    while not waits:
        await asyncio.sleep(PROBE_EVERY_S)
    honest = await target.is_honest_work_done()
    is_over.set()
    await probe
    tracebacks = target.coordinator.log().count("Traceback") - tracebacks
    got = ", ".join(f"{count} x {word}" if not word.startswith("at most") else word for word, count in told.items())
    cells = [
        what,
        got,
        f"{took_s:.1f} s",
        f"{_cpu_s(target) - cpu:.2f} s",
        f"+{max(0.0, _memory_mb(target, 'VmHWM') - memory):.0f} MB",
        f"{max(waits):.2f} s (median {statistics.median(waits) * 1000:.0f} ms)",
        honest,
        str(tracebacks),
    ]
    return f"| {' | '.join(cells)} |"


def _cpu_s(target: Target) -> float:
    assert target.coordinator.process is not None
    fields = Path(f"/proc/{target.coordinator.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _forget_peak(target: Target) -> None:
    """Let `VmHWM` begin anew (proc(5), clear_refs)."""
    assert target.coordinator.process is not None
    with contextlib.suppress(OSError):
        Path(f"/proc/{target.coordinator.process.pid}/clear_refs").write_text("5")


def _memory_mb(target: Target, name: str) -> float:
    assert target.coordinator.process is not None
    status = Path(f"/proc/{target.coordinator.process.pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(f"{name}:"))


async def _target(coordinator: Coordinator) -> Target:
    """An honest worker that holds no lease, and a run that waits for another one."""
    key, token = coordinator.key("--scopes", "submit,read"), coordinator.token("--pool")
    api = coordinator.url + wire.API
    asked = {"token": token, "name": "honest", "boot": "honest", "slots": 1, "capability": {"platform": "linux"}}
    enrolled = requests.post(f"{api}/workers", json=asked, headers={"Authorization": f"Bearer {token}"}).json()
    bundle = b"nothing"
    digest = hashlib.sha256(bundle).hexdigest()
    bearer = {"Authorization": f"Bearer {key}"}
    requests.put(f"{api}/blobs/{digest}", data=bundle, headers=bearer).raise_for_status()
    plan = {
        "files": [
            {
                "path": "test_a.py",
                "needs": {"path": "test_a.py", "default": {"browser": "chrome", "enforced": True}},
                "expected_s": 1.0,
            }
        ]
    }
    submission = {"nonce": "n", "bundle": digest, "plan": plan, "start": {}}
    run = requests.post(f"{api}/runs", json=submission, headers=bearer)
    assert run.status_code == 201, run.text
    return Target(coordinator, key, enrolled["worker"], enrolled["jwt"], run.json()["run"])


def main() -> None:
    """Each attack on a coordinator of its own, so that none suffers from the one before."""
    chosen = {name: what for name, what in ATTACKS.items() if not sys.argv[1:] or name.startswith(tuple(sys.argv[1:]))}
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    print("| who sends what | answers | took | CPU | memory | longest `/healthz` | honest ones let in | tracebacks |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for what, function in chosen.values():
        with tempfile.TemporaryDirectory() as directory:
            coordinator = Coordinator(Path(directory) / "data", prefix=("prlimit", f"--nofile={SOFT_DESCRIPTORS}:"))
            coordinator.start()
            try:

                async def measured(made: Coordinator = coordinator, what: str = what, work: Attack = function) -> str:
                    return await _measured(await _target(made), what, work)

                print(asyncio.run(measured()), flush=True)
            finally:
                coordinator.kill()


if __name__ == "__main__":
    main()
