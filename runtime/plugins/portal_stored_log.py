"""A log in an object store, read by ranges as a file is. Without Airflow, for quick tests.

Which store it is, and how it is signed in to, is what Airflow itself uses: `FOUND_IN` takes its
`RemoteLogIO` by the name of the class.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Protocol

BLOCK_BYTES, MOST_BLOCKS = 1024 * 1024, 4
# Of one request. The clients would try again for two minutes, while a page waits.
SECONDS = 10


class StoredObject(Protocol):
    """An object of a store. `read` raises what the client raises, also when the object was replaced
    since its size was read.
    """

    size: int

    def read(self, begin: int, end: int) -> bytes: ...


class StoredLog:
    """An object of a store as a file that is read only. A few blocks of it are held, whatever its
    size: who looks for the beginning of a line reads the same place twice.
    """

    def __init__(self, stored: StoredObject) -> None:
        self._stored, self.size = stored, stored.size
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
            data = self._stored.read(begin, end)
            if len(data) != end - begin:
                raise OSError(f"the store sent {len(data)} of {end - begin} bytes")
            self._blocks[number] = data
            if len(self._blocks) > MOST_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        return self._blocks[number]


class S3Object:
    """An object of S3; `client` is one of boto3."""

    def __init__(self, client: Any, *, bucket: str, key: str) -> None:
        self._client, self._place = client, {"Bucket": bucket, "Key": key}
        head = client.head_object(**self._place)
        self.size, self._etag = int(head["ContentLength"]), head["ETag"]

    def read(self, begin: int, end: int) -> bytes:
        answer = self._client.get_object(
            **self._place, Range=f"bytes={begin}-{end - 1}", IfMatch=self._etag
        )
        data: bytes = answer["Body"].read()
        return data


class GoogleObject:
    """An object of Google Cloud Storage; `blob` is one that was listed."""

    def __init__(self, blob: Any) -> None:
        # A download changes what the blob says of itself.
        self._blob, self.size, self._generation = blob, int(blob.size), blob.generation

    def read(self, begin: int, end: int) -> bytes:
        data: bytes = self._blob.download_as_bytes(
            start=begin,
            end=end - 1,
            raw_download=True,
            checksum=None,  # That of the whole is none of a part.
            if_generation_match=self._generation,
            timeout=SECONDS,
            retry=None,
        )
        return data


_AZURE_LIMITS = {"connection_timeout": SECONDS, "read_timeout": SECONDS, "retry_total": 0}


class AzureObject:
    """A blob of Azure; `client` is of this blob, `listed` what a list says of it."""

    def __init__(self, client: Any, listed: Any) -> None:
        self._client, self.size = client, int(listed.size)
        # A list writes it without the quotes that a condition has.
        self._etag = '"' + listed.etag.strip('"') + '"'

    def read(self, begin: int, end: int) -> bytes:
        data: bytes = self._client.download_blob(
            offset=begin, length=end - begin, headers={"If-Match": self._etag}, **_AZURE_LIMITS
        ).readall()
        return data


def _in_s3(store: Any, name: str) -> StoredLog | None:
    hook = store.hook
    bucket, key = hook.parse_s3_url(os.path.join(store.remote_base, name))
    if hook.list_keys(bucket_name=bucket, prefix=key) != [key]:
        return None
    return StoredLog(S3Object(hook.get_conn(), bucket=bucket, key=key))


def _in_google(store: Any, name: str) -> StoredLog | None:
    bucket, _, folder = store.remote_base.removeprefix("gs://").partition("/")
    key = os.path.join(folder, name)
    blobs = list(
        store.client.list_blobs(
            bucket_or_name=bucket, prefix=key, max_results=2, timeout=SECONDS, retry=None
        )
    )
    # Of a compressed one a range is no text.
    if [blob.name for blob in blobs] != [key] or blobs[0].content_encoding:
        return None
    return StoredLog(GoogleObject(blobs[0]))


def _in_azure(store: Any, name: str) -> StoredLog | None:
    key = os.path.join(store.remote_base, name)
    container = store.hook.blob_service_client.get_container_client(store.wasb_container)
    asked = container.list_blobs(name_starts_with=key, results_per_page=2, **_AZURE_LIMITS)
    pages = asked.by_page()
    blobs = list(next(pages, ()))
    if [blob.name for blob in blobs] != [key] or blobs[0].content_settings.content_encoding:
        return None
    return StoredLog(AzureObject(container.get_blob_client(key), blobs[0]))


# Each returns the log of that name if it is one object: a trigger writes another beside it, and
# those Airflow gathers.
FOUND_IN: Mapping[str, Callable[[Any, str], StoredLog | None]] = {
    "S3RemoteLogIO": _in_s3,
    "GCSRemoteLogIO": _in_google,
    "WasbRemoteLogIO": _in_azure,
}
