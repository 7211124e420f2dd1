"""Series as the body of a remote write request. Pure.

The message is `WriteRequest` of Prometheus Remote-Write 1.0
(https://prometheus.io/docs/specs/prw/remote_write_spec/), in the wire format of protobuf
(https://protobuf.dev/programming-guides/encoding/), in a block of snappy
(https://github.com/google/snappy/blob/main/format_description.txt). The block holds literals alone,
which every decoder reads: a compressor would be a dependency for some bytes on the way.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
NAME = "__name__"
LITERAL_BYTES = 65_536
# Kinds of fields on the wire.
_VARINT, _FIXED64, _LENGTH = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class TimeSeries:
    """Samples of one series, the oldest first: milliseconds since 1970 and values. `labels` hold
    the name as `__name__`.
    """

    labels: Mapping[str, str]
    samples: Sequence[tuple[int, float]]


def body_of(series: Iterable[TimeSeries]) -> bytes:
    """Return the body of a request."""
    return snappy_of(b"".join(_nested(1, _series(one)) for one in series))


def snappy_of(data: bytes) -> bytes:
    """Return bytes as a block of snappy, none of them compressed."""
    pieces = [_varint(len(data))]
    for at in range(0, len(data), LITERAL_BYTES):
        piece = data[at : at + LITERAL_BYTES]
        # 61 stands for a length in the next two bytes.
        pieces += [bytes([61 << 2]), struct.pack("<H", len(piece) - 1), piece]
    return b"".join(pieces)


def _series(one: TimeSeries) -> bytes:
    # Receivers ask for labels in the order of their names.
    labels = (_nested(1, _label(name, one.labels[name])) for name in sorted(one.labels))
    samples = (_nested(2, _sample(at, value)) for at, value in one.samples)
    return b"".join([*labels, *samples])


def _label(name: str, value: str) -> bytes:
    return _nested(1, name.encode()) + _nested(2, value.encode("utf-8", "replace"))


def _sample(at: int, value: float) -> bytes:
    return _tag(1, _FIXED64) + struct.pack("<d", value) + _tag(2, _VARINT) + _varint(at)


def _nested(field: int, data: bytes) -> bytes:
    return _tag(field, _LENGTH) + _varint(len(data)) + data


def _tag(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)
