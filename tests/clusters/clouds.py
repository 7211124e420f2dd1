"""STS and EKS as they answer over HTTP, with the refusals that matter, and shapes of the others.

The answers of Azure and Google are recorded shapes of their documentation: no test here has talked
to them.
"""

import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from apps.dataplane.clouds.web import Question, Reply
from tests.clusters.material import certificate

ROLE = "arn:aws:iam::111122223333:role/astro-portal"
REGION = "eu-central-1"
STS = "https://sts.amazonaws.com/doc/2011-06-15/"


class FakeAws:
    """One account with a role that demands the external id `expected`, and some clusters."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.expected = ""
        self.is_open = False
        self.error: tuple[int, str] | None = None
        self.denied: set[str] = set()
        self.clusters = {"data-prod": "ACTIVE", "data-dev": "ACTIVE", "young": "CREATING"}
        self.endpoint = "https://{}.gr7.eu-central-1.eks.amazonaws.com"
        self.calls: list[str] = []

    def answer(self, method: str, path: str, body: str) -> tuple[int, str, str]:
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        act = asked.get("Action") or ("Describe" if path.count("/") > 1 else "List")
        self.calls.append(act)
        if self.error:
            return self._refused(act, *self.error)
        if act in self.denied:
            return self._refused(act, 403, "AccessDenied")
        if act == "AssumeRole":
            return self._assumed(asked)
        return self._eks(path)

    def _assumed(self, asked: dict[str, str]) -> tuple[int, str, str]:
        is_right = asked["RoleArn"] == ROLE and asked.get("ExternalId") == self.expected
        if not is_right and not (self.is_open and asked["RoleArn"] == ROLE):
            return self._refused("AssumeRole", 403, "AccessDenied")
        ends = (datetime.now(UTC) + timedelta(seconds=3600)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return (
            200,
            "text/xml",
            f'<AssumeRoleResponse xmlns="{STS}"><AssumeRoleResult><Credentials>'
            "<AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>s3cr3t</SecretAccessKey>"
            f"<SessionToken>session</SessionToken><Expiration>{ends}</Expiration></Credentials>"
            "</AssumeRoleResult></AssumeRoleResponse>",
        )

    def _eks(self, path: str) -> tuple[int, str, str]:
        name = path.partition("?")[0].removeprefix("/clusters").strip("/")
        if not name:
            return 200, "application/json", json.dumps({"clusters": list(self.clusters)})
        if name not in self.clusters:
            return self._refused("Describe", 404, "ResourceNotFoundException")
        found: dict[str, Any] = {"name": name, "status": self.clusters[name], "version": "1.33"}
        if found["status"] == "ACTIVE":
            found["endpoint"] = self.endpoint.format(name)
            ca = b64encode(certificate().encode()).decode()
            found["certificateAuthority"] = {"data": ca}
        return 200, "application/json", json.dumps({"cluster": found})

    def _refused(self, act: str, status: int, code: str) -> tuple[int, str, str]:
        if act == "AssumeRole":
            error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error>"
            text = f'<ErrorResponse xmlns="{STS}">{error}</ErrorResponse>'
            return status, "text/xml", text
        return status, f"application/json#{code}", json.dumps({"message": "no"})


@contextmanager
def fake_aws() -> Iterator[FakeAws]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode()
            status, kind, text = aws.answer(self.command, self.path, body)
            kind, _, code = kind.partition("#")
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if code:
                self.send_header("x-amzn-errortype", code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = _serve

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    aws = FakeAws(f"http://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield aws
    finally:
        server.shutdown()
        server.server_close()


class Recorded:
    """Answers of a vendor by the beginning of the address. Keeps the questions."""

    def __init__(self, **answers: tuple[int, dict[str, Any]]) -> None:
        self.answers = answers
        self.questions: list[Question] = []

    def __call__(self, question: Question) -> Reply:
        self.questions.append(question)
        for part, (status, body) in self.answers.items():
            if part.replace("_", "/") in question.url:
                return Reply(status=status, body=body)
        raise AssertionError(f"Nothing is recorded for {question.url}.")
