import json
import logging
from typing import Any

import pytest
from django.test import RequestFactory

from apps.core.context import RequestContext, enter_request, leave_request
from apps.core.logs import LineFormatter


def line_of(message: str, *arguments: Any, **extra: Any) -> dict[str, Any]:
    record = logging.makeLogRecord(
        {"name": "django.request", "levelname": "WARNING", "msg": message, "args": arguments}
    )
    for key, value in extra.items():
        setattr(record, key, value)
    text = LineFormatter().format(record)
    assert "\n" not in text
    return dict(json.loads(text))


@pytest.mark.parametrize(
    "path",
    ["/setup/s3cr3t/", "/invitations/s3cr3t/", "/accounts/password/reset/key/1x-s3cr3t/"],
)
def test_a_line_about_a_one_time_link_does_not_hold_its_token(path: str) -> None:
    line = line_of("%s: %s", "Unprocessable Entity", path)

    assert "s3cr3t" not in json.dumps(line)
    assert line["message"].startswith("Unprocessable Entity: /")


def test_a_refused_request_is_written_with_its_id_and_without_its_query() -> None:
    request = RequestFactory().get("/search?q=private")
    request.request_id = "abc123"  # type: ignore[attr-defined]

    line = line_of("Not Found: %s", "/search", request=request, status_code=404)

    assert "private" not in json.dumps(line)
    assert line["request_id"] == "abc123"
    assert line["status_code"] == "404"


def test_text_from_outside_cannot_begin_a_line_of_its_own() -> None:
    line = line_of("refused %s", 'a"\n{"level": "error"}', deployment="x\ny")

    assert line["level"] == "warning"
    assert line["deployment"] == "x\ny"


def test_lines_within_a_request_carry_its_id() -> None:
    token = enter_request(RequestContext(request_id="abc123"))
    try:
        assert line_of("hello")["request_id"] == "abc123"
    finally:
        leave_request(token)
