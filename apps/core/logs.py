import json
import logging
import re
from datetime import UTC, datetime

from apps.core.context import current_request

# Django attaches the request itself, whose text holds the query string.
LEFT_OUT = frozenset({"request", "server_time"})
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Addresses of one-time links: a form sent with an error is logged while its link still works.
ONE_TIME = re.compile(r"(/(?:setup|invitations|bypass|password/reset/key)/)[^/\s]+")


class LineFormatter(logging.Formatter):
    """One JSON object a line: the event, and ids as fields. Control characters cannot break a line,
    and tokens of one-time links are left out.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": ONE_TIME.sub(r"\1…", record.getMessage()),
        }
        if request_id := _request_id(record):
            line["request_id"] = request_id
        fields = vars(record).keys() - STANDARD - LEFT_OUT
        line.update({key: str(getattr(record, key)) for key in sorted(fields)})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _request_id(record: logging.LogRecord) -> str:
    # Django logs refused requests after the middleware has returned.
    request = getattr(record, "request", None)
    return current_request().request_id or getattr(request, "request_id", "")
