"""Fail if this pod's Celery worker has not heard from the broker for minutes, although the broker
answers others.

A broker that is away is no reason to restart a worker, whose tasks go on without it. Nothing but
Python's own library is used: this runs once a minute.
"""

import os
import socket
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

SILENT_SECONDS = 300
ANSWER_SECONDS = 5


def main() -> int:
    file = Path(os.environ["PORTAL_WORKER_ALIVE_FILE"])
    try:
        silence = time.time() - file.stat().st_mtime
    except FileNotFoundError:
        # Not connected yet, or about to end after its tasks.
        return 0
    if silence < SILENT_SECONDS or not answers(os.environ["AIRFLOW__CELERY__BROKER_URL"]):
        return 0
    print(f"The worker has not heard from the broker for {silence:.0f} seconds.")
    return 1


def answers(url: str) -> bool:
    """Return whether the broker at a redis:// address answers a PING."""
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 6379)
    words = [["PING"]]
    if parts.password:
        words.insert(0, ["AUTH", *filter(None, [unquote(parts.username or "")])])
        words[0].append(unquote(parts.password))
    try:
        with socket.create_connection(address, timeout=ANSWER_SECONDS) as connection:
            connection.sendall(b"".join(map(_command, words)))
            answer = b""
            while b"PONG" not in answer and b"-" not in answer:
                received = connection.recv(1024)
                if not received:
                    return False
                answer += received
    except OSError:
        return False
    return b"PONG" in answer


def _command(words: list[str]) -> bytes:
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    return f"*{len(words)}\r\n{''.join(parts)}".encode()


if __name__ == "__main__":
    sys.exit(main())
