"""What a data plane finds out about a project before it is used: its packages and its DAGs."""

from dataclasses import dataclass, field
from typing import Literal

MOST_PACKAGES = 1_000
MOST_DAGS = 5_000
MOST_ERRORS = 200
MOST_NAMES = 500
MOST_OPTION_ISSUES = 200


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package beside those of the runtime. `size_bytes` is what it takes when it is installed,
    None while it is not known.
    """

    name: str
    version: str
    size_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class PackageLock:
    """What the requirements come to: `text` is a lock with hashes of the packages that the runtime
    lacks, empty when it has them all.
    """

    text: str
    packages: tuple[Package, ...]


@dataclass(frozen=True, kw_only=True)
class InstalledPackages:
    """Packages that can be used now. `image` is the one that holds them, with its digest; "" on a
    plane without images.
    """

    packages: tuple[Package, ...]
    image: str = ""


@dataclass(frozen=True, kw_only=True)
class ParsedDag:
    """A DAG as its file defines it. `schedule` is in Airflow's own words."""

    dag_id: str
    file: str
    schedule: str
    task_count: int
    owners: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ParseError:
    """A file that cannot be imported. `line` is 0 where it is not known. `needs_airflow` says that
    the file asks for a variable or a connection while it is read, which only Airflow can answer.
    """

    file: str
    line: int
    message: str
    traceback: str
    needs_airflow: bool = False


@dataclass(frozen=True, kw_only=True)
class CodeName:
    """A variable, a connection or an environment variable that the code names, and where first.
    `has_default`: the code goes on without it.
    """

    kind: Literal["variable", "connection", "environment"]
    name: str
    file: str
    line: int
    has_default: bool = False


@dataclass(frozen=True, kw_only=True)
class ParsedProject:
    """What reading all DAG files gave. `file_count` is how many Airflow would read; `names` is None
    where the code could not be searched for them. `option_issues` is what `airflow config lint`
    says of the options that the Deployment sets, None where it could not be run.
    """

    dags: tuple[ParsedDag, ...] = ()
    names: tuple[CodeName, ...] | None = None
    option_issues: tuple[str, ...] | None = None
    errors: tuple[ParseError, ...] = ()
    file_count: int = 0
    seconds: float = field(default=0.0, compare=False)
