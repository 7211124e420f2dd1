"""Certificates of CAs as a setting: PEM texts, what they are called, and when they end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from apps.core.certificates import BAD_EXTENSIONS
from apps.core.errors import Invalid

BEGIN = "-----BEGIN CERTIFICATE-----"
MOST = 30
SOON = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class CertificatesKind:
    """Certificates of CAs, one after the other, without what people write between them. One that
    has ended is taken: a bundle must stay editable. `expiring` says so.
    """

    lines: int = 6
    choices: Sequence[str] = ()
    # A certificate has up to some 3,000 characters.
    longest: int = 100_000

    def parse(self, text: str) -> str:
        if not text.strip():
            return ""
        if "PRIVATE KEY-----" in text:
            raise Invalid("This has a private key. Enter certificates alone, and replace that key.")
        try:
            found = x509.load_pem_x509_certificates(text.encode())
            every = [_checked(one) for one in found]
        except (ValueError, *BAD_EXTENSIONS):
            raise Invalid(
                f"Enter certificates in PEM: each begins with {BEGIN} and is complete."
            ) from None
        if len(every) > MOST:
            raise Invalid(f"At most {MOST} certificates; there are {len(every)}.")
        return "".join(dict.fromkeys(every))

    def tidy(self, text: str) -> str:
        return self.parse(text)


def _checked(one: x509.Certificate) -> str:
    try:
        is_ca = one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        # Roots of version 1 have no extensions.
        is_ca = one.issuer == one.subject
    if not is_ca:
        raise Invalid(f"{called(one)} is a server's certificate. Enter that of the CA.")
    return one.public_bytes(Encoding.PEM).decode()


def called(one: x509.Certificate) -> str:
    """Return a certificate's common name, or all of its subject."""
    names = one.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    text = str(names[0].value) if names else one.subject.rfc4514_string()
    return f"“{text[:60]}”" if text.isprintable() and text else "A certificate without a name"


def certificates_in_words(text: str) -> str:
    """Name the certificates of a bundle, with the day on which each ends."""
    return ", ".join(
        f"{called(one)} until {_day(one.not_valid_after_utc)}"
        for one in x509.load_pem_x509_certificates(text.encode())
    )


def ending(text: str, *, now: datetime) -> list[tuple[str, datetime]]:
    """Return name and end of each certificate of a bundle that has ended or does in 30 days."""
    found = x509.load_pem_x509_certificates(text.encode()) if text else []
    ends = [(called(one), one.not_valid_after_utc) for one in found]
    return [(name, at) for name, at in ends if at <= now + SOON]


def expiring(text: str, *, now: datetime) -> list[str]:
    """Return a sentence for each of these."""
    return [_sentence(name, at, now) for name, at in ending(text, now=now)]


def _sentence(name: str, at: datetime, now: datetime) -> str:
    if at <= now:
        return (
            f"{name} ended on {_day(at)}: what it signed is no longer trusted. Remove it, and add "
            "its successor."
        )
    return f"{name} ends on {_day(at)}. Add its successor beside it before that day."


def _day(at: datetime) -> str:
    return f"{at.day} {at:%B %Y}"
