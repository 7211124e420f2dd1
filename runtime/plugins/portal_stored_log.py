"""A log in an object store, read by ranges as a file is. Without Airflow, for quick tests."""

import os
from collections import OrderedDict
from typing import Any

BLOCK_BYTES, MOST_BLOCKS = 1024 * 1024, 4


class StoredLog:
    """An object of S3 as a file that is read only. A few blocks of it are held, whatever its size:
    who looks for the beginning of a line reads the same place twice. `client` is one of boto3.

    Raises what the client raises, also when the object was replaced meanwhile.
    """

    def __init__(self, client: Any, *, bucket: str, key: str) -> None:
        self._client, self._place = client, {"Bucket": bucket, "Key": key}
        head = client.head_object(**self._place)
        self.size, self._etag = int(head["ContentLength"]), head["ETag"]
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, from the beginning or from the end."""
        self._at = offset + (self.size if whence == os.SEEK_END else 0)
        return self._at

    def read(self, most: int) -> bytes:
        """Read from the place on, and go behind what was read."""
        end = min(self.size, self._at + most)
        parts = []
        while self._at < end:
            number, inside = divmod(self._at, BLOCK_BYTES)
            part = self._block(number)[inside : inside + end - self._at]
            parts.append(part)
            self._at += len(part)
        return b"".join(parts)

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            begin = number * BLOCK_BYTES
            end = min(self.size, begin + BLOCK_BYTES)
            answer = self._client.get_object(
                **self._place, Range=f"bytes={begin}-{end - 1}", IfMatch=self._etag
            )
            data = answer["Body"].read()
            if len(data) != end - begin:
                raise OSError(f"the store sent {len(data)} of {end - begin} bytes")
            self._blocks[number] = data
            if len(self._blocks) > MOST_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        return self._blocks[number]
