"""A TCP proxy that can go silent: nothing passes any more, and nothing is closed."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class SwallowingProxy:
    """Pass connections on to `target`. `swallow` silences those that are open, and new ones with
    `everything`, as a lost node does, or a firewall that has forgotten them.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._silenced: set[int] = set()
        self._is_deaf = False
        self._has_ended = threading.Event()
        self._lock = threading.Lock()

    def swallow(self, *, everything: bool = False) -> int:
        """Go silent; return how many connections that concerns."""
        with self._lock:
            self._silenced = set(range(len(self._pairs)))
            self._is_deaf = everything
            return len(self._silenced)

    def heal(self) -> None:
        """Take new connections again. The silent ones stay silent."""
        self._is_deaf = False

    def close(self) -> None:
        self._has_ended.set()
        self._listening.close()
        for pair in self._pairs:
            for end in pair:
                end.close()

    def serve(self) -> None:
        while not self._has_ended.is_set():
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            with self._lock:
                number = len(self._pairs)
                server = socket.create_connection(self._target)
                self._pairs.append((client, server))
                if self._is_deaf:
                    self._silenced.add(number)
            threading.Thread(target=self._pass_on, args=(number,), daemon=True).start()

    def _pass_on(self, number: int) -> None:
        client, server = self._pairs[number]
        with suppress(OSError, ValueError):
            while not self._has_ended.is_set():
                readable, _, _ = select.select([client, server], [], [], 0.2)
                if number in self._silenced:
                    self._has_ended.wait()
                    return
                for one in readable:
                    data = one.recv(65536)
                    if not data:
                        client.close()
                        server.close()
                        return
                    (server if one is client else client).sendall(data)


@contextmanager
def swallowing_proxy(host: str, port: int) -> Iterator[SwallowingProxy]:
    proxy = SwallowingProxy((host, port))
    threading.Thread(target=proxy.serve, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.close()
