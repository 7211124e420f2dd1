"""Where delivered code archives are kept."""

import logging
from pathlib import Path
from typing import Any

from django.core.files.storage import FileSystemStorage

PRIVATE = 0o600

logger = logging.getLogger(__name__)


class ArchiveStorage(FileSystemStorage):
    """Files that only the portal's user may read, where the file system has modes.

    Shared file systems of clouds have one fixed mode and refuse to change it. What was written is
    whole all the same: Django's own way to set a mode would end the delivery.
    """

    file_permissions_mode = None

    def _save(self, name: str, content: Any) -> str:
        saved: str = super()._save(name, content)  # type: ignore[misc]  # unknown to the stubs
        try:
            Path(self.path(saved)).chmod(PRIVATE)
        except OSError as error:
            logger.info("the mode of an archive stays as it is: %s", error.strerror)
        return saved
