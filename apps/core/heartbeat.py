"""A file that a process touches while it works. A probe finds by it a process that hangs."""

import logging
from pathlib import Path

from django.conf import settings

logger = logging.getLogger(__name__)


def beat() -> None:
    """Touch the file of `PORTAL_HEARTBEAT_FILE`, if there is one."""
    if not settings.HEARTBEAT_FILE:
        return
    try:
        Path(settings.HEARTBEAT_FILE).touch()
    except OSError as error:
        logger.warning("the heartbeat cannot be written: %s", error.strerror)
