"""How uploads reach the disk: in a temporary file, none larger than its page takes."""

import errno
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import SkipFile, TemporaryFileUploadHandler

TOO_LARGE = "too-large"
DISK_FULL = "disk-full"


class CodeUploadHandler(TemporaryFileUploadHandler):
    """Skips a file that cannot be accepted and sets the reason as `request.upload_problem`.

    The rest of the request is read and thrown away: a browser shows no page when the connection
    ends before it has sent everything.
    """

    received_bytes = 0

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().new_file(*args, **kwargs)
        except OSError as error:
            self._skip(error)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        # Counted over all files of the request, of which there should be one.
        self.received_bytes += len(raw_data)
        if self.received_bytes > self._most_bytes():
            self.request.upload_problem = TOO_LARGE  # type: ignore[union-attr]  # read by the view
            raise SkipFile
        try:
            super().receive_data_chunk(raw_data, start)
        except OSError as error:
            self._skip(error)

    def _most_bytes(self) -> int:
        match = getattr(self.request, "resolver_match", None)
        usual: int = settings.CODE_ARCHIVE_MAX_BYTES
        # The gate of a page comes later: its field of the CSRF token may follow the file.
        user = getattr(self.request, "auth", None) or getattr(self.request, "user", None)
        if match is None or user is None or getattr(user, "is_anonymous", False):
            return usual
        most: int = settings.UPLOAD_MAX_BYTES.get(match.view_name, usual)
        return most

    def file_complete(self, file_size: int) -> "UploadedFile[Any] | None":
        try:
            return super().file_complete(file_size)
        except OSError as error:
            self._note(error)
            return None

    def _skip(self, error: OSError) -> None:
        self._note(error)
        raise SkipFile from error

    def _note(self, error: OSError) -> None:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise error
        self.request.upload_problem = DISK_FULL  # type: ignore[union-attr]  # read by the view
