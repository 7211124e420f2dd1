"""Where servers are: addresses, proxies and hosts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from apps.core.errors import Invalid
from apps.layers.kinds.kind import quoted

_HOST = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class AddressKind:
    """A host and a port; empty for none."""

    lines: int = 1
    choices: Sequence[str] = ()

    def parse(self, text: str) -> str:
        if not text:
            return ""
        host, _, port = text.rpartition(":")
        is_port = port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65_536
        if not (_HOST.fullmatch(host) and is_port):
            raise Invalid("Enter host and port, like statsd.monitoring.svc:9125.")
        return f"{host}:{int(port)}"

    def tidy(self, text: str) -> str:
        return self.parse(text.strip())


@dataclass(frozen=True, kw_only=True)
class ProxyKind:
    """The URL of a proxy; empty for none. One with a password would be readable on every page."""

    lines: int = 1
    choices: Sequence[str] = ()

    def parse(self, text: str) -> str:
        if not text:
            return ""
        try:
            url = urlsplit(text)
            is_good = url.scheme in ("http", "https") and url.hostname and url.port != 0
        except ValueError:
            is_good = False
        if not is_good or not text.isascii() or not text.isprintable() or " " in text:
            raise Invalid("Enter the URL of a proxy, like http://proxy.example.org:3128.")
        if "@" in text:
            raise Invalid(
                "A proxy with a password is a secret: set HTTPS_PROXY as a secret variable of the "
                "Deployment instead."
            )
        return text

    def tidy(self, text: str) -> str:
        return self.parse(text.strip())


@dataclass(frozen=True, kw_only=True)
class HostsKind:
    """Hosts, with commas."""

    lines: int = 1
    choices: Sequence[str] = ()

    def parse(self, text: str) -> str:
        hosts = [host.strip() for host in text.split(",") if host.strip()]
        wrong = next((host for host in hosts if not re.fullmatch(r"[-A-Za-z0-9.:/*_]+", host)), "")
        if wrong:
            raise Invalid(f"Separate hosts by commas; {quoted(wrong)} is none.")
        return ",".join(dict.fromkeys(hosts))

    def tidy(self, text: str) -> str:
        return self.parse(text)
