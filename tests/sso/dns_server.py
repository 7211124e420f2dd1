"""A name server on loopback that knows the TXT records it is told."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


@contextmanager
def name_server() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the server's address and its records (name → text), to be changed at will."""
    records: dict[str, str] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_serve, args=(listening, records), daemon=True)
        thread.start()
        host, port = listening.getsockname()
        yield f"{host}:{port}", records
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"stop", (host, port))
        thread.join()


def _serve(listening: socket.socket, records: dict[str, str]) -> None:
    while True:
        data, sender = listening.recvfrom(4096)
        if data == b"stop":
            return
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        name = query.question[0].name
        text = records.get(name.to_text(omit_final_dot=True))
        if text is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        else:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", f'"{text}"'))
        listening.sendto(answer.to_wire(), sender)
