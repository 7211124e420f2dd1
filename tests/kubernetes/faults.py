"""What a door in front of an API server can do to a request."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from tests.kubernetes.http_messages import Head, Message, chunk, read_body

Ask = Callable[[Message], Awaitable[tuple[Head, asyncio.StreamReader]]]
Answered = Callable[[int], None]
FOR_EVER = 3600.0


class Fault:
    """None: the request passes."""

    async def treat(
        self, request: Message, client: asyncio.StreamWriter, ask: Ask, answered: Answered
    ) -> None:
        head, reader = await ask(request)
        answered(head.status)
        client.write(head.raw())
        if request.head.first.startswith("HEAD ") or head.status in (204, 304):
            return
        async for piece in self.changed(read_body(reader, head)):
            client.write(chunk(piece) if head.is_chunked else piece)
            await client.drain()
        if head.is_chunked:
            client.write(chunk(b""))
        await client.drain()

    async def changed(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the body that the client sees."""
        async for piece in body:
            yield piece


@dataclass
class Answer(Fault):
    """The API server is not asked; this is answered."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    message: str = "injected"

    async def treat(
        self, request: Message, client: asyncio.StreamWriter, ask: Ask, answered: Answered
    ) -> None:
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": self.status}
        body = json.dumps({**status, "reason": self.reason, "message": self.message}).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body))}
        head = Head(f"HTTP/1.1 {self.status} Injected", {**headers, **self.headers})
        answered(self.status)
        client.write(head.raw() + body)
        await client.drain()


class CutBefore(Fault):
    """The connection ends, and the API server never heard of the request."""

    async def treat(
        self, request: Message, client: asyncio.StreamWriter, ask: Ask, answered: Answered
    ) -> None:
        raise EOFError


class CutAfter(Fault):
    """The API server does as asked; the connection ends before its answer arrives."""

    async def treat(
        self, request: Message, client: asyncio.StreamWriter, ask: Ask, answered: Answered
    ) -> None:
        head, reader = await ask(request)
        async for _ in read_body(reader, head):
            pass
        raise EOFError


class CutInside(Fault):
    """Half of the answer arrives."""

    async def treat(
        self, request: Message, client: asyncio.StreamWriter, ask: Ask, answered: Answered
    ) -> None:
        head, reader = await ask(request)
        body = b"".join([piece async for piece in read_body(reader, head)])
        client.write(Message(head, body).raw()[: -len(body) // 2 or -1])
        await client.drain()
        raise EOFError


class DropReply(Fault):
    """The API server does as asked; its answer never arrives and the connection stays."""

    async def treat(
        self, request: Message, client: asyncio.StreamWriter, ask: Ask, answered: Answered
    ) -> None:
        head, reader = await ask(request)
        async for _ in read_body(reader, head):
            pass
        await asyncio.sleep(FOR_EVER)


class BlackHole(Fault):
    """Nobody ever answers, and nobody was asked."""

    async def treat(
        self, request: Message, client: asyncio.StreamWriter, ask: Ask, answered: Answered
    ) -> None:
        await asyncio.sleep(FOR_EVER)


@dataclass
class Slow(Fault):
    """The answer is right and late."""

    seconds: float

    async def treat(
        self, request: Message, client: asyncio.StreamWriter, ask: Ask, answered: Answered
    ) -> None:
        await asyncio.sleep(self.seconds)
        await super().treat(request, client, ask, answered)


@dataclass
class Trickle(Fault):
    """The answer comes byte by byte, from the first of its head or the first of its body."""

    pause_seconds: float = 0.2
    is_head_too: bool = False

    async def treat(
        self, request: Message, client: asyncio.StreamWriter, ask: Ask, answered: Answered
    ) -> None:
        head, reader = await ask(request)
        body = b"".join([piece async for piece in read_body(reader, head)])
        raw = Message(head, body).raw()
        at_once = 0 if self.is_head_too else len(raw) - len(body)
        client.write(raw[:at_once])
        for byte in raw[at_once:]:
            client.write(bytes([byte]))
            await client.drain()
            await asyncio.sleep(self.pause_seconds)


class Garbage(Fault):
    """Something answers, but no API server."""

    async def treat(
        self, request: Message, client: asyncio.StreamWriter, ask: Ask, answered: Answered
    ) -> None:
        body = b"<html><h1>Welcome to the captive portal</h1></html>"
        headers = {"content-type": "text/html", "content-length": str(len(body))}
        answered(200)
        client.write(Head("HTTP/1.1 200 OK", headers).raw() + body)
        await client.drain()


class SilentWatch(Fault):
    """The watch stays open, and nothing that happens is told."""

    async def changed(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for _ in body:
            continue
        await asyncio.sleep(FOR_EVER)
        yield b""


class NoBookmarks(Fault):
    """The watch tells everything but how far it came."""

    async def changed(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for line in _lines(body):
            if json.loads(line)["type"] != "BOOKMARK":
                yield line


class GoneInStream(Fault):
    """The watch begins well and says that what it began from is forgotten."""

    async def changed(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
        yield json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"


async def _lines(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for piece in body:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if line:
                yield line + b"\n"
