"""As much HTTP/1.1 as API servers and their clients speak."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Head:
    """First line and headers, their names in lower case."""

    first: str
    headers: dict[str, str]

    @property
    def status(self) -> int:
        return int(self.first.split(" ", 2)[1])

    @property
    def is_chunked(self) -> bool:
        return self.headers.get("transfer-encoding", "") == "chunked"

    def raw(self) -> bytes:
        lines = [self.first, *(f"{name}: {value}" for name, value in self.headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


@dataclass(frozen=True)
class Message:
    head: Head
    body: bytes

    def raw(self) -> bytes:
        headers = {k: v for k, v in self.head.headers.items() if k != "transfer-encoding"}
        if self.body or "content-length" in headers:
            headers["content-length"] = str(len(self.body))
        return Head(self.head.first, headers).raw() + self.body


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """Read a head, None at the end of the connection."""
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = text.removesuffix("\r\n\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Head(first, {name.strip().lower(): value.strip() for name, _, value in pairs})


async def read_body(reader: asyncio.StreamReader, head: Head) -> AsyncIterator[bytes]:
    """Yield a body as it arrives, without the marks of its chunks."""
    if head.is_chunked:
        while size := int(await reader.readline(), 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readline()
        return
    left = int(head.headers.get("content-length", "0"))
    while left:
        piece = await reader.read(min(left, 65536))
        if not piece:
            raise EOFError
        left -= len(piece)
        yield piece


def chunk(piece: bytes) -> bytes:
    """Mark a piece of a body; the empty one is the end."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)
