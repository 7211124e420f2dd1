"""Envelope encryption of secrets at rest.

A value is sealed with a random 256-bit data key (AES-256-GCM), and the data key is sealed with a
key of the ring. Both take the row's identity as associated data, so a ciphertext moved to another
row or field does not open.

Layout, version 1: b"\\x01" | len(key id) | key id | nonce(12) + wrapped data key(48) | nonce(12) +
ciphertext + tag(16).
"""

import base64
import binascii
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = 1
NONCE_BYTES = 12
WRAPPED_KEY_BYTES = NONCE_BYTES + 32 + 16


class SecretUnreadable(Exception):
    """A ciphertext cannot be opened: wrong row, damaged, or its key is not in the ring."""


@dataclass(frozen=True)
class KeyRing:
    """Keys that open secrets, by id, and the id of the one that seals new ones."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        if self.current not in self.keys:
            raise ValueError(f"The encryption key ring has no key called “{self.current}”.")
        if any(len(key) != 32 for key in self.keys.values()):
            raise ValueError("Every key of the encryption key ring must be 32 bytes, in base64.")

    @classmethod
    def from_json(cls, text: str) -> "KeyRing":
        """Read `{"current": id, "keys": {id: base64}}`; raise ValueError with a message."""
        try:
            data = json.loads(text)
            keys = {
                name: base64.b64decode(value, validate=True) for name, value in data["keys"].items()
            }
            return cls(current=data["current"], keys=keys)
        except (
            KeyError,
            TypeError,
            AttributeError,
            binascii.Error,
            json.JSONDecodeError,
        ) as error:
            raise ValueError(
                'The encryption key ring must be JSON like {"current": "k1", "keys": {"k1": "…"}}.'
            ) from error

    def seal(self, *, value: str, identity: str) -> bytes:
        """Encrypt `value` for the row and field called `identity`, like
        `deployments.secret|<id>|value`.
        """
        data_key = AESGCM.generate_key(bit_length=256)
        key_id = self.current.encode()
        header = bytes([VERSION, len(key_id)]) + key_id
        return (
            header + self._wrap(data_key, identity) + _encrypt(data_key, value.encode(), identity)
        )

    def open(self, *, sealed: bytes, identity: str) -> str:
        """Decrypt what `seal` made; raise SecretUnreadable."""
        key_id, wrapped, ciphertext = _split(sealed)
        key = self.keys.get(key_id)
        if key is None:
            raise SecretUnreadable(f"The encryption key “{key_id}” is not in the key ring.")
        try:
            data_key = _decrypt(key, wrapped, identity)
            return _decrypt(data_key, ciphertext, identity).decode()
        except InvalidTag as error:
            raise SecretUnreadable(
                "A secret does not belong to the row it is stored in."
            ) from error

    def rewrap(self, *, sealed: bytes, identity: str) -> bytes:
        """Seal the data key again with the current key; the value itself is not decrypted."""
        key_id, wrapped, ciphertext = _split(sealed)
        if key_id == self.current:
            return sealed
        key = self.keys.get(key_id)
        if key is None:
            raise SecretUnreadable(f"The encryption key “{key_id}” is not in the key ring.")
        try:
            data_key = _decrypt(key, wrapped, identity)
        except InvalidTag as error:
            raise SecretUnreadable(
                "A secret does not belong to the row it is stored in."
            ) from error
        current = self.current.encode()
        return (
            bytes([VERSION, len(current)]) + current + self._wrap(data_key, identity) + ciphertext
        )

    def _wrap(self, data_key: bytes, identity: str) -> bytes:
        return _encrypt(self.keys[self.current], data_key, identity)


def key_id_of(sealed: bytes) -> str:
    """Read the id of the key that a sealed value needs."""
    return _split(sealed)[0]


def _encrypt(key: bytes, plain: bytes, identity: str) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, identity.encode())


def _decrypt(key: bytes, data: bytes, identity: str) -> bytes:
    return AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], identity.encode())


def _split(sealed: bytes) -> tuple[str, bytes, bytes]:
    if len(sealed) < 2 or sealed[0] != VERSION:
        raise SecretUnreadable("A secret is damaged.")
    end_of_id = 2 + sealed[1]
    end_of_key = end_of_id + WRAPPED_KEY_BYTES
    if len(sealed) < end_of_key + NONCE_BYTES + 16:
        raise SecretUnreadable("A secret is damaged.")
    return sealed[2:end_of_id].decode(), sealed[end_of_id:end_of_key], sealed[end_of_key:]
