"""Certificates of CAs as a setting."""

from datetime import UTC, datetime, timedelta

import pytest

from apps.core.certificates import certificates_alone
from apps.core.errors import Invalid
from apps.layers.catalogue import SETTINGS
from apps.layers.form_fields import in_words
from apps.layers.kinds.certificates import BEGIN, MOST, certificates_in_words, expiring
from tests.kubernetes.certificates import Authority, with_an_extension_twice

BUNDLE = SETTINGS["ca_bundle"]
ONE, OTHER = Authority("Corp Root CA"), Authority("Corp Root CA 2")
KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----\n"


def test_it_keeps_certificates_alone_each_once_and_in_order() -> None:
    typed = f"# of 2026\r\n{ONE.certificate}\nand the next\n{OTHER.certificate}{ONE.certificate}"

    tidied = BUNDLE.tidy(typed)

    assert tidied == ONE.certificate + OTHER.certificate
    assert BUNDLE.tidy(tidied) == tidied
    assert BUNDLE.tidy(" \n") == ""


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("hello", "Enter certificates in PEM"),
        (f"{BEGIN}\nAAAA\n-----END CERTIFICATE-----", "Enter certificates in PEM"),
        (ONE.certificate[:-40], "Enter certificates in PEM"),
        (with_an_extension_twice(), "Enter certificates in PEM"),
        (ONE.certificate + KEY, "private key"),
        (ONE.server("db.test").certificate, "Enter that of the CA"),
        (ONE.certificate + "\x00", "can be stored"),
        (ONE.certificate * 200, "At most 100000 characters"),
    ],
)
def test_it_says_what_would_be_right(typed: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        BUNDLE.tidy(typed)


def test_of_what_is_pasted_for_a_server_certificates_alone_are_kept() -> None:
    typed = f"Bag Attributes\n  secret=x\r\n{ONE.certificate}{OTHER.certificate}bye"

    assert certificates_alone(typed, field="ca") == ONE.certificate + OTHER.certificate
    assert certificates_alone(" \n", field="ca") == ""
    with pytest.raises(Invalid, match="private key") as refused:
        certificates_alone(ONE.certificate + KEY, field="ca")
    assert refused.value.field == "ca"


def test_there_is_a_most_of_them() -> None:
    many = "".join(Authority(f"CA {number}").certificate for number in range(MOST + 1))

    with pytest.raises(Invalid, match=f"At most {MOST} certificates; there are {MOST + 1}"):
        BUNDLE.tidy(many)


def test_people_read_names_and_days_and_no_pem() -> None:
    words = in_words(ONE.certificate + OTHER.certificate)

    assert words == certificates_in_words(ONE.certificate + OTHER.certificate)
    assert words.startswith("“Corp Root CA” until ")
    assert BEGIN not in words


def test_it_warns_before_one_ends_and_after() -> None:
    now = datetime.now(UTC)

    [soon] = expiring(ONE.certificate, now=now)
    [over] = expiring(ONE.certificate, now=now + timedelta(days=4000))

    assert "“Corp Root CA” ends on" in soon
    assert "no longer trusted" in over
    assert expiring(ONE.certificate, now=now - timedelta(days=4000)) == []
    assert expiring("", now=now) == []
