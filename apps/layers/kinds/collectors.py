"""The address of an OpenTelemetry collector as a setting."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from apps.core.errors import Invalid

_URL = re.compile(
    r"https?://[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?(/[-A-Za-z0-9_.~]+)*/?"
)


@dataclass(frozen=True, kw_only=True)
class CollectorKind:
    """A URL that takes OTLP over HTTP; empty for none. Without a path it is the usual one of the
    `signal`. A password in it would be readable on every page.
    """

    signal: str
    lines: int = 1
    choices: Sequence[str] = ()

    def parse(self, text: str) -> str:
        if not text:
            return ""
        if "@" in text:
            raise Invalid(
                "An address with a password is a secret: set OTEL_EXPORTER_OTLP_HEADERS as a "
                "secret variable instead."
            )
        port = re.search(r":([0-9]{1,5})(/|$)", text)
        if not _URL.fullmatch(text) or (port and not 0 < int(port[1]) < 65_536):
            raise Invalid("Enter the URL of a collector, like http://otel.monitoring.svc:4318.")
        has_path = "/" in text.partition("://")[2].rstrip("/")
        return text.rstrip("/") if has_path else f"{text.rstrip('/')}/v1/{self.signal}"

    def tidy(self, text: str) -> str:
        return self.parse(text.strip())
