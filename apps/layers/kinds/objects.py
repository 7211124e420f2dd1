"""Objects of a namespace: what may be named, read as variables and mounted."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from apps.core.errors import Invalid
from apps.dataplane.production import Mount, SecretVariable
from apps.dataplane.variables import NAME, NO_PROXY, refusal_of
from apps.layers.kinds.kind import DNS_NAME, lines_of, quoted

_KEY = re.compile(r"[-A-Za-z0-9_.]{1,253}")
_MOUNT = re.compile(
    r"(?P<kind>claim|configmap|secret)/(?P<name>[a-z0-9][-a-z0-9.]*)"
    r"=(?P<path>/mnt(/[A-Za-z0-9_][-A-Za-z0-9_.]{0,60}){1,6})(?P<rw>:rw)?"
)
# Objects with such a name are of those who may create them in the namespace, never of the portal.
THEIRS = "user-"


@dataclass(frozen=True, kw_only=True)
class NameKind:
    """The name of an object of Kubernetes; empty for none."""

    lines: int = 1
    choices: Sequence[str] = ()

    def parse(self, text: str) -> str:
        if text and not DNS_NAME.fullmatch(text):
            raise Invalid(f"{quoted(text)} is no name of an object.")
        return text

    def tidy(self, text: str) -> str:
        return self.parse(text.strip())


@dataclass(frozen=True, kw_only=True)
class NamesKind:
    """Names of objects of Kubernetes, one a line."""

    lines: int = 3
    choices: Sequence[str] = ()

    def parse(self, text: str) -> tuple[str, ...]:
        names = lines_of(text)
        wrong = next((name for name in names if not DNS_NAME.fullmatch(name)), None)
        if wrong is not None:
            raise Invalid(f"Write one name a line; {quoted(wrong)} is no name of an object.")
        return tuple(sorted(set(names)))

    def tidy(self, text: str) -> str:
        return "\n".join(self.parse(text))


@dataclass(frozen=True, kw_only=True)
class SecretVariablesKind:
    """Lines like `PASSWORD=user-warehouse/password`. What begins with `user-` is left to those who
    may create it in the namespace, and never one of the portal's own.
    """

    lines: int = 3
    choices: Sequence[str] = ()

    def parse(self, text: str) -> tuple[SecretVariable, ...]:
        found = [self._one(line) for line in lines_of(text)]
        names = [one.variable for one in found]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise Invalid(f"{twice} is there twice.")
        return tuple(sorted(found, key=lambda one: one.variable))

    def tidy(self, text: str) -> str:
        return "\n".join(f"{one.variable}={one.secret}/{one.key}" for one in self.parse(text))

    def _one(self, line: str) -> SecretVariable:
        variable, _, where = line.partition("=")
        secret, _, key = where.partition("/")
        if not NAME.fullmatch(variable) or not _is_of_people(secret) or not _KEY.fullmatch(key):
            raise Invalid(
                f"Write one variable a line, like PASSWORD=user-warehouse/password, not "
                f"{quoted(line)}. The name of the Secret begins with user-."
            )
        if refusal := refusal_of(variable):
            raise Invalid(refusal.message)
        if variable in NO_PROXY:
            raise Invalid(
                f"{variable} cannot be read from a Secret, because Airflow's own hosts join it. "
                "Write it in the setting “Hosts without proxy”."
            )
        return SecretVariable(variable=variable, secret=secret, key=key)


@dataclass(frozen=True, kw_only=True)
class MountsKind:
    """Lines like `claim/user-data=/mnt/data`, with `:rw` for a claim that is written to."""

    lines: int = 3
    choices: Sequence[str] = ()

    def parse(self, text: str) -> tuple[Mount, ...]:
        found = [self._one(line) for line in lines_of(text)]
        paths = [one.path for one in found]
        twice = next((path for path in paths if paths.count(path) > 1), None)
        if twice:
            raise Invalid(f"{twice} is there twice.")
        return tuple(sorted(found, key=lambda one: one.path))

    def tidy(self, text: str) -> str:
        return "\n".join(
            f"{one.kind}/{one.name}={one.path}{'' if one.is_read_only else ':rw'}"
            for one in self.parse(text)
        )

    def _one(self, line: str) -> Mount:
        found = _MOUNT.fullmatch(line)
        if found is None or not _is_of_people(found["name"]):
            raise Invalid(
                f"Write one volume a line, like claim/user-data=/mnt/data, not {quoted(line)}. It "
                "is a claim, configmap or secret whose name begins with user-, below /mnt."
            )
        is_written = bool(found["rw"])
        if is_written and found["kind"] != "claim":
            raise Invalid("Only a claim can be written to.")
        return Mount(
            kind=found["kind"],
            name=found["name"],
            path=found["path"],
            is_read_only=not is_written,
        )


def _is_of_people(name: str) -> bool:
    """Return whether an object of a namespace is of those who may create it there."""
    return name.startswith(THEIRS) and len(name) < 64 and bool(DNS_NAME.fullmatch(name))
