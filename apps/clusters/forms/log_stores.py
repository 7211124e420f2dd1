"""Where task logs go: the addresses of stores, and the keys that fit them."""

import json
import re
from urllib.parse import urlsplit

S3 = re.compile(r"s3://[a-z0-9][-a-z0-9.]{1,61}[a-z0-9](/[-A-Za-z0-9_.=]+)*/?")
GOOGLE = re.compile(r"gs://[a-z0-9][-a-z0-9_.]{1,61}[a-z0-9](/[-A-Za-z0-9_.=]+)*/?")
AZURE = re.compile(
    r"wasbs://[a-z0-9][-a-z0-9]{1,61}[a-z0-9]@[a-z0-9]{3,24}\.blob\.core\."
    r"(windows\.net|chinacloudapi\.cn|usgovcloudapi\.net)(/[-A-Za-z0-9_.=]+)*/?"
)
# The path is how names of indices begin, which are in lower case.
ELASTICSEARCH = re.compile(
    r"https://[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?(:[1-9][0-9]{0,4})?"
    r"/[a-z0-9][-a-z0-9_.]{0,99}/?"
)
API_KEY = re.compile(r"[-A-Za-z0-9+/_]{20,500}={0,2}")
WITH_USERS = ("s3", "https")
WRONG = (
    "Enter a bucket like s3://airflow-logs/prod or gs://airflow-logs/prod, a container like "
    "wasbs://logs@account.blob.core.windows.net/prod, or an index of Elasticsearch like "
    "https://elastic.example.org:9200/airflow."
)


def kind_of(url: str) -> str:
    """Return whose store an address is: s3, gs, wasbs, or https for Elasticsearch."""
    return url.partition("://")[0]


def receiver_of(url: str, user: str) -> str:
    """Return who gets the key of a store, and as what. The vendors are asked with signatures of it;
    Elasticsearch gets it itself, so that each server is another receiver.
    """
    kind = kind_of(url)
    if kind != "https":
        return kind
    return f"{'password' if user else 'key'} for {urlsplit(url).netloc.lower()}"


def is_store(url: str) -> bool:
    # Two dots would lead out of the container.
    is_plain = ".." not in url.split("/")
    patterns = (S3, GOOGLE, AZURE, ELASTICSEARCH)
    return is_plain and any(one.fullmatch(url) for one in patterns) and _has_port(url)


def _has_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def wrong_user(url: str, user: str) -> str:
    """Return why an access key or user does not fit its store, empty where it does."""
    if kind_of(url) not in WITH_USERS:
        return "Only S3 and Elasticsearch have one. Leave this empty."
    if kind_of(url) == "https" and ":" in user:
        return "A user of Elasticsearch has no colon."
    return ""


def wrong_key(url: str, key: str, user: str) -> str:
    """Return why a key does not fit its store, empty where it does."""
    if kind_of(url) == "gs" and not _is_google_key(key):
        return "Paste the whole JSON key of a service account, with “private_key”."
    if kind_of(url) == "https" and not user and not API_KEY.fullmatch(key):
        return "Without a user this is an API key, as Elasticsearch encodes it."
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
