"""A door in front of an API server that misbehaves as a test says, and counts who went through.

    with running_proxy(connection) as faulty:
        faulty.fail(Answer(429, {"Retry-After": "1"}), method="PATCH", times=3)
        KubernetesPlane(config_of(faulty.connection)).apply(spec=spec)
        assert faulty.count("PATCH") == …

It ends TLS with a certificate of its own, so a `Connection` through it needs its authority.
"""

import asyncio
import random
import re
import ssl
import tempfile
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from apps.dataplane.kubernetes.config import Connection
from tests.kubernetes.certificates import Authority
from tests.kubernetes.faults import Fault
from tests.kubernetes.http_messages import Head, Message, read_body, read_head

ASKS = ("subjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectreviews")


@dataclass
class Call:
    """One request. `status` is what the client was answered, 0 for nothing."""

    method: str
    path: str
    query: dict[str, str]
    at: float = field(default_factory=time.monotonic)
    status: int = 0
    fault: str = ""

    @property
    def is_write(self) -> bool:
        """Whether it would change something."""
        reads = self.method in ("GET", "HEAD") or "dryRun" in self.query
        return not reads and not self.path.endswith(ASKS)

    @property
    def is_watch(self) -> bool:
        return self.query.get("watch") in ("1", "true")


@dataclass
class Rule:
    fault: Fault
    method: str
    path: str
    times: int | None
    chance: float
    is_watch: bool | None

    def matches(self, call: Call) -> bool:
        return (
            self.times != 0
            and self.method in ("", call.method)
            and re.search(self.path, call.path) is not None
            and self.is_watch in (None, call.is_watch)
            and random.random() < self.chance
        )


class FaultProxy:
    """The door. Everything public may be called from any thread."""

    def __init__(self, upstream: Connection) -> None:
        self._upstream = upstream
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self._port = 0
        self.calls: list[Call] = []
        self.authority = Authority("fault proxy")
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy")

    @property
    def connection(self) -> Connection:
        """Return how to reach the cluster through this door."""
        return replace(
            self._upstream,
            server=f"https://127.0.0.1:{self._port}",
            ca_certificate=self.authority.certificate,
        )

    def fail(
        self,
        fault: Fault,
        *,
        method: str = "",
        path: str = "",
        times: int | None = None,
        chance: float = 1.0,
        is_watch: bool | None = None,
    ) -> None:
        """Let requests by `method` whose path has the pattern `path` meet a fault, `times` often.

        Of several rules that match, the latest counts.
        """
        rule = Rule(fault, method, path, times, chance, is_watch)
        with self._lock:
            self._rules.insert(0, rule)

    def heal(self) -> None:
        """Forget all faults. What hangs is cut."""
        with self._lock:
            self._rules.clear()
        self.cut()

    def cut(self) -> None:
        """End all connections that are open now."""
        self._run(self._cut())

    def refuse(self) -> None:
        """Take no connections any more, and end those that are open."""
        self._run(self._close())

    def accept(self) -> None:
        """Take connections again, at the same address."""
        self._run(self._listen())

    def show_other_certificate(self) -> None:
        """Begin anew with another authority, at the same address."""
        self.refuse()
        self.authority = Authority("another fault proxy")
        self.accept()

    def forget_calls(self) -> None:
        with self._lock:
            self.calls = []

    def count(self, method: str = "", path: str = "") -> int:
        """Count the requests so far."""
        return len(self.calls_of(method, path))

    def calls_of(self, method: str = "", path: str = "") -> list[Call]:
        with self._lock:
            return [c for c in self.calls if method in ("", c.method) and re.search(path, c.path)]

    def writes(self) -> list[Call]:
        """Return the requests that would change something."""
        return [call for call in self.calls_of() if call.is_write]

    def start(self) -> None:
        self._thread.start()
        self.accept()

    def stop(self) -> None:
        self.refuse()
        self._run(asyncio.sleep(0.05))  # connections close a turn of the loop later
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, ssl=server_context(self.authority)
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        for client in list(self._clients):
            client.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        upstream = Upstream(self._upstream)
        try:
            while (request := await read_head(reader)) is not None:
                body = b"".join([piece async for piece in read_body(reader, request)])
                await self._pass(Message(request, body), writer, upstream)
        except (OSError, EOFError, asyncio.CancelledError, ssl.SSLError):
            writer.transport.abort()
        finally:
            self._clients.discard(writer)
            upstream.close()
            with suppress(RuntimeError):
                writer.close()

    async def _pass(
        self, request: Message, writer: asyncio.StreamWriter, upstream: "Upstream"
    ) -> None:
        call = _call_of(request.head)
        with self._lock:
            self.calls.append(call)
            rule = next((rule for rule in self._rules if rule.matches(call)), None)
            if rule is not None and rule.times is not None:
                rule.times -= 1
        fault = rule.fault if rule else Fault()
        call.fault = type(fault).__name__ if rule else ""

        def answered(status: int) -> None:
            call.status = status

        await fault.treat(request, writer, upstream.ask, answered)
        if rule is not None:
            # An answer may be left there that nobody read.
            upstream.close()


class Upstream:
    """The connection behind one client's connection."""

    def __init__(self, connection: Connection) -> None:
        parts = urlsplit(connection.server)
        self._host, self._port = parts.hostname, parts.port
        self._context = ssl.create_default_context(cadata=connection.ca_certificate)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: Message) -> tuple[Head, asyncio.StreamReader]:
        """Forward a request; return the head of the answer and where its body comes from."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, ssl=self._context)
        reader, writer = self._streams
        writer.write(request.raw())
        await writer.drain()
        head = await read_head(reader)
        if head is None:
            raise EOFError
        return head, reader

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


def _call_of(head: Head) -> Call:
    method, target, _ = head.first.split(" ", 2)
    parts = urlsplit(target)
    query = {key: values[0] for key, values in parse_qs(parts.query).items()}
    return Call(method, parts.path, query)


def server_context(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    signed = authority.server("127.0.0.1", "localhost")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "server.pem")
        path.write_text(signed.key + signed.certificate)
        context.load_cert_chain(path)
    return context


@contextmanager
def running_proxy(upstream: Connection) -> Iterator[FaultProxy]:
    proxy = FaultProxy(upstream)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
