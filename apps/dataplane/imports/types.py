"""An Airflow from elsewhere: where its metadata database is, and what was found in it."""

from dataclasses import dataclass, field
from typing import Literal

Encryption = Literal["verified", "unverified", "none"]


@dataclass(frozen=True, kw_only=True)
class SourceServer:
    """A running PostgreSQL. `networks` are those that may be reached besides public and private
    ones, named in `setting`; `ca` is a certificate that is trusted besides the public ones, in PEM.
    """

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    encryption: Encryption = "verified"
    ca: str = ""
    networks: tuple[str, ...] = ()
    setting: str = ""


@dataclass(frozen=True, kw_only=True)
class ImportSource:
    """What is imported: the file of a dump or of SQLite, or else what a server has. `fernet_keys`
    are those that its secrets are encrypted with, the newest first.
    """

    key: str
    dump_path: str = ""
    server: SourceServer | None = None
    fernet_keys: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class FoundDag:
    """A DAG that the database knows: the file it came from, and whether it was paused."""

    dag_id: str
    file: str
    is_paused: bool


@dataclass(frozen=True, kw_only=True)
class FoundAirflow:
    """What was found. `counts` has rows by what they are, in the words of pages; `users` are left
    behind, `secrets` says how many values were encrypted.
    """

    airflow_version: str
    versions: str
    database_bytes: int
    counts: dict[str, int]
    dags: tuple[FoundDag, ...]
    users: tuple[str, ...]
    secrets: int


@dataclass(frozen=True, kw_only=True)
class ImportedDatabase:
    """An archive that can be restored, with every DAG paused and secrets under `fernet_key`, as the
    pg_dump of the major version `postgres` wrote it.
    """

    found: FoundAirflow
    size_bytes: int
    sha256: str
    postgres: int
    fernet_key: str = field(repr=False)
