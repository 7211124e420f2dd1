"""Where task logs go: the addresses of stores, and the keys that fit them."""

import json
import re

S3 = re.compile(r"s3://[a-z0-9][-a-z0-9.]{1,61}[a-z0-9](/[-A-Za-z0-9_.=]+)*/?")
GOOGLE = re.compile(r"gs://[a-z0-9][-a-z0-9_.]{1,61}[a-z0-9](/[-A-Za-z0-9_.=]+)*/?")
AZURE = re.compile(
    r"wasbs://[a-z0-9][-a-z0-9]{1,61}[a-z0-9]@[a-z0-9]{3,24}\.blob\.core\."
    r"(windows\.net|chinacloudapi\.cn|usgovcloudapi\.net)(/[-A-Za-z0-9_.=]+)*/?"
)
WRONG = (
    "Enter a bucket like s3://airflow-logs/prod or gs://airflow-logs/prod, or a container like "
    "wasbs://logs@account.blob.core.windows.net/prod."
)


def kind_of(url: str) -> str:
    """Return whose store an address is: s3, gs or wasbs."""
    return url.partition("://")[0]


def is_store(url: str) -> bool:
    # Two dots would lead out of the container.
    is_plain = ".." not in url.split("/")
    return is_plain and any(pattern.fullmatch(url) for pattern in (S3, GOOGLE, AZURE))


def wrong_key(url: str, key: str) -> str:
    """Return why a key does not fit its store, empty where it does."""
    if kind_of(url) == "gs" and not _is_google_key(key):
        return "Paste the whole JSON key of a service account, with “private_key”."
    if kind_of(url) != "gs" and not (key.isprintable() and len(key) <= 500):
        return "Enter the key alone, in one line."
    return ""


def _is_google_key(key: str) -> bool:
    """Return whether it is a key itself: the other kinds name files, addresses or programs."""
    try:
        found = json.loads(key)
        return found["type"] == "service_account" and bool(found["private_key"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
