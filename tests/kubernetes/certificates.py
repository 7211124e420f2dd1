"""A certificate authority for one test run, and what it signs."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A certificate with its key, both PEM."""

    certificate: str
    key: str


class Authority:
    def __init__(self, name: str, *, lasts: timedelta = DAY) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._public = (
            _builder(self._name, lasts)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = self._public.public_bytes(serialization.Encoding.PEM).decode()

    def server(self, *names: str) -> Signed:
        """Sign for a server that is reached by these names and addresses."""
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        return self._sign(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]),
            ExtendedKeyUsageOID.SERVER_AUTH,
            DAY,
            alternatives,
        )

    def client(self, user: str, *groups: str, lasts: timedelta = DAY) -> Signed:
        """Sign for a Kubernetes user in groups."""
        parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, user)])
        return self._sign(subject, ExtendedKeyUsageOID.CLIENT_AUTH, lasts)

    def _sign(
        self,
        subject: x509.Name,
        purpose: x509.ObjectIdentifier,
        lasts: timedelta,
        alternatives: x509.SubjectAlternativeName | None = None,
    ) -> Signed:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(subject, lasts)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if alternatives:
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Signed(
            certificate=certificate.public_bytes(serialization.Encoding.PEM).decode(),
            key=private_pem(key),
        )


def with_private_key() -> str:
    """Return what people paste who take the whole file: certificate and key of a server."""
    signed = Authority("With key").server("db.test")
    return signed.certificate + signed.key


def private_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def with_an_extension_twice() -> str:
    """Return a certificate that no library writes: it loads, and its extensions cannot be read."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    builder = _builder(name, DAY).issuer_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "another")])
    )
    for number in ("1.2.3.4", "1.2.3.5"):
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier(number), b"\x05\x00")
        builder = builder.add_extension(unknown, critical=False)
    signed = builder.public_key(key.public_key()).sign(key, hashes.SHA256())
    second, first = b"\x06\x03\x2a\x03\x05", b"\x06\x03\x2a\x03\x04"
    forged = signed.public_bytes(serialization.Encoding.DER).replace(second, first)
    loaded = x509.load_der_x509_certificate(forged)
    return loaded.public_bytes(serialization.Encoding.PEM).decode()


def _builder(subject: x509.Name, lasts: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + lasts)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
