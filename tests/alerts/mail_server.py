"""A mail server on this machine that speaks SMTP (RFC 5321), as much of it as a client needs."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message


@dataclass
class MailServer:
    """What arrived. `refused` is the answer to the text of a mail, empty if it is taken."""

    port: int = 0
    refused: str = ""
    mails: list[Message] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)


class _Handler(socketserver.StreamRequestHandler):
    """One conversation. The server holds `found`."""

    def handle(self) -> None:
        self._say("220 mail.example.org ESMTP")
        for line in self.rfile:
            verb = line.split(None, 1)[0].upper().decode()
            if verb == "QUIT":
                self._say("221 Bye")
                return
            self._answer(verb, line)

    def _answer(self, verb: str, line: bytes) -> None:
        if verb == "DATA":
            self._say("354 Go ahead")
            self._take()
        elif verb in ("EHLO", "HELO", "MAIL", "RCPT", "RSET", "NOOP"):
            if verb == "RCPT":
                address = line.decode().partition("<")[2].partition(">")[0]
                self.server.found.recipients.append(address)
            self._say("250 OK")
        else:
            self._say("502 Not implemented")

    def _take(self) -> None:
        lines = []
        for line in self.rfile:
            if line == b".\r\n":
                break
            lines.append(line[1:] if line.startswith(b"..") else line)
        found = self.server.found
        if not found.refused:
            found.mails.append(message_from_bytes(b"".join(lines)))
        self._say(found.refused or "250 Queued")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Run it on the loopback address."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        server.found = found = MailServer(port=server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
