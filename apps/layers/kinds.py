"""What a setting may be: a text that people write, and the value that a data plane gets.

`parse` raises Invalid, with a sentence that says what would be right. The same text in another
spelling has one form, `tidy`, so that a review shows no difference where there is none.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol
from urllib.parse import urlsplit

from apps.core.errors import Invalid
from apps.dataplane.production import Mount, Pairs, SecretVariable, Size, Toleration
from apps.dataplane.variables import NAME, NO_PROXY, refusal_of

_KEY = re.compile(r"[-A-Za-z0-9_.]{1,253}")
_HOST = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?")
_MOUNT = re.compile(
    r"(?P<kind>claim|configmap|secret)/(?P<name>[a-z0-9][-a-z0-9.]*)"
    r"=(?P<path>/mnt(/[A-Za-z0-9_][-A-Za-z0-9_.]{0,60}){1,6})(?P<rw>:rw)?"
)
# Objects with such a name are of those who may create them in the namespace, never of the portal.
THEIRS = "user-"
LONGEST = 8_000
MOST_LINES = 50
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_CUSTOM_SIZE = re.compile(r"(\d{1,2}(?:\.\d{1,3})?) ?CPU, ?(\d{1,6}) ?(Mi|Gi)B?", re.IGNORECASE)
_CPU = re.compile(r"(\d{1,5})(?:\.(\d{1,3}))?")
_MEMORY = re.compile(r"(\d{1,7}) ?(Mi|Gi)B?")
# Control planes, and nodes that are going.
KEPT_FREE = ("node-role.kubernetes.io", "node.kubernetes.io")
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
# Of these the portal, Kubernetes or a mesh knows the meaning. A person must not take a pod out of a
# NetworkPolicy, a Service or a budget.
RESERVED = (
    "astro-portal.dev",
    "kubernetes.io",
    "k8s.io",
    "keda.sh",
    # By these the webhooks of clouds give a pod the token of an identity.
    "eks.amazonaws.com",
    "azure.workload.identity",
    "iam.gke.io",
)
RESERVED_NAMES = ("dag_id", "task_id", "run_id", "try_number", "airflow_version", "airflow-worker")


class Kind(Protocol):
    """What a setting takes. `lines` is how high its field is, `choices` what it offers."""

    @property
    def lines(self) -> int: ...

    @property
    def choices(self) -> Sequence[str]: ...

    def parse(self, text: str) -> Any: ...

    def tidy(self, text: str) -> str: ...


def _lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines()]
    filled = [line for line in lines if line]
    if len(filled) > MOST_LINES:
        raise Invalid(f"At most {MOST_LINES} lines; there are {len(filled)}.")
    return filled


@dataclass(frozen=True, kw_only=True)
class SizeKind:
    """A named size, or CPU and memory. `small` is the plane's usual one."""

    lines: int = 1
    choices: Sequence[str] = ()
    NAMED: ClassVar[dict[str, Size | None]] = {
        "small": None,
        "medium": Size(cpu_millis=2000, memory_mib=4096),
        "large": Size(cpu_millis=4000, memory_mib=8192),
        "extra-large": Size(cpu_millis=8000, memory_mib=16384),
    }

    def parse(self, text: str) -> Size | None:
        return self.NAMED[text] if text in self.NAMED else self._custom(text)

    def tidy(self, text: str) -> str:
        known = text.strip().lower().replace(" ", "-").replace("_", "-")
        if known in self.NAMED:
            return known
        size = self._custom(text.strip())
        memory = size.memory_mib
        amount = f"{memory}Mi" if memory % 1024 else f"{memory // 1024}Gi"
        return f"{size.cpu_millis / 1000:g} CPU, {amount}"

    def _custom(self, text: str) -> Size:
        found = _CUSTOM_SIZE.fullmatch(text)
        if found is None:
            raise Invalid(
                "Choose small, medium, large or extra-large, or write CPU and memory like “3 CPU, "
                "6Gi”."
            )
        millis = round(float(found[1]) * 1000)
        mebibytes = int(found[2]) * (1024 if found[3].lower() == "gi" else 1)
        if not (100 <= millis <= 64_000 and 512 <= mebibytes <= 512 * 1024):
            raise Invalid("A component gets 0.1 to 64 CPU, and 512Mi to 512Gi of memory.")
        return Size(cpu_millis=millis, memory_mib=mebibytes)


@dataclass(frozen=True, kw_only=True)
class NumberKind:
    """A whole number from `floor` to `ceiling`."""

    floor: int
    ceiling: int
    lines: int = 1
    choices: Sequence[str] = ()

    def parse(self, text: str) -> int:
        is_number = text.isascii() and text.isdigit() and len(text) < 9
        if not is_number or not self.floor <= int(text) <= self.ceiling:
            raise Invalid(f"Enter a whole number from {self.floor} to {self.ceiling}.")
        return int(text)

    def tidy(self, text: str) -> str:
        return str(self.parse(text.strip()))


@dataclass(frozen=True, kw_only=True)
class SwitchKind:
    """On or off."""

    lines: int = 1
    choices: Sequence[str] = ("on", "off")

    def parse(self, text: str) -> bool:
        if text not in self.choices:
            raise Invalid("Choose on or off.")
        return text == "on"

    def tidy(self, text: str) -> str:
        return "on" if self.parse(text.strip()) else "off"


@dataclass(frozen=True, kw_only=True)
class CpuKind:
    """A number of CPUs, in thousandths for the data plane; empty for none."""

    lines: int = 1
    choices: Sequence[str] = ()

    def parse(self, text: str) -> int | None:
        if not text:
            return None
        found = _CPU.fullmatch(text)
        millis = int(found[1]) * 1000 + int((found[2] or "").ljust(3, "0")) if found else 0
        if millis <= 0:
            raise Invalid("Enter a number of CPUs, like 16 or 2.5.")
        return millis

    def tidy(self, text: str) -> str:
        millis = self.parse(text.strip())
        return "" if millis is None else f"{millis / 1000:g}"


@dataclass(frozen=True, kw_only=True)
class MemoryKind:
    """An amount of memory, in MiB for the data plane; empty for none."""

    lines: int = 1
    choices: Sequence[str] = ()

    def parse(self, text: str) -> int | None:
        if not text:
            return None
        found = _MEMORY.fullmatch(text)
        if found is None or not int(found[1]):
            raise Invalid("Enter an amount of memory, like 64Gi or 512Mi.")
        return int(found[1]) * (1024 if found[2] == "Gi" else 1)

    def tidy(self, text: str) -> str:
        mebibytes = self.parse(text.strip())
        if mebibytes is None:
            return ""
        return f"{mebibytes}Mi" if mebibytes % 1024 else f"{mebibytes // 1024}Gi"


@dataclass(frozen=True, kw_only=True)
class LabelsKind:
    """Lines like `name=value`. With `refuses_reserved` those that mean something to the portal, to
    Kubernetes or to Airflow are refused; with `is_free` a value may be any text.
    """

    refuses_reserved: bool = False
    is_free: bool = False
    lines: int = 3
    choices: Sequence[str] = ()

    def parse(self, text: str) -> Pairs:
        pairs = [self._pair(line) for line in _lines(text)]
        names = [name for name, _ in pairs]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise Invalid(f"{twice} is there twice.")
        return tuple(sorted(pairs))

    def tidy(self, text: str) -> str:
        return labels_text(self.parse(text))

    def _pair(self, line: str) -> tuple[str, str]:
        name, equals, value = line.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not is_qualified(name):
            raise Invalid(f"Write one label a line, like pool=airflow, not {_shown(line)}.")
        if not self.is_free and value and not _LABEL_NAME.fullmatch(value):
            raise Invalid(
                f"The value of {name} can have at most 63 letters, digits, hyphens, dots and "
                "underscores, and begins and ends with a letter or digit."
            )
        if not value.isprintable():
            raise Invalid(f"The value of {name} contains a character that cannot be used.")
        if self.refuses_reserved and is_reserved(name):
            raise Invalid(f"{name} is reserved. Choose a prefix of your own, like example.org/.")
        return name, value


@dataclass(frozen=True, kw_only=True)
class TolerationsKind:
    """Lines like `spot=true:NoSchedule`, `gpu:NoSchedule` or `gpu`."""

    lines: int = 3
    choices: Sequence[str] = ()

    def parse(self, text: str) -> tuple[Toleration, ...]:
        found = {self._toleration(line): None for line in _lines(text)}
        return tuple(sorted(found, key=lambda one: (one.key, one.value, one.effect)))

    def tidy(self, text: str) -> str:
        return tolerations_text(self.parse(text))

    def _toleration(self, line: str) -> Toleration:
        rest, colon, effect = line.partition(":")
        key, equals, value = rest.partition("=")
        is_value_good = bool(_LABEL_NAME.fullmatch(value)) if equals else True
        is_effect_good = effect in EFFECTS if colon else True
        if not (is_qualified(key) and is_value_good and is_effect_good):
            raise Invalid(
                f"Write one taint a line, like spot=true:NoSchedule, not {_shown(line)}. The "
                f"effects are {', '.join(EFFECTS)}."
            )
        if key.partition("/")[0] in KEPT_FREE:
            raise Invalid(f"{key} keeps pods away from nodes that are not for them.")
        return Toleration(key=key, value=value, effect=effect)


@dataclass(frozen=True, kw_only=True)
class NamesKind:
    """Names of objects of Kubernetes, one a line."""

    lines: int = 3
    choices: Sequence[str] = ()

    def parse(self, text: str) -> tuple[str, ...]:
        names = _lines(text)
        wrong = next((name for name in names if not _DNS_NAME.fullmatch(name)), None)
        if wrong is not None:
            raise Invalid(f"Write one name a line; {_shown(wrong)} is no name of an object.")
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
        found = [self._one(line) for line in _lines(text)]
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
        if not NAME.fullmatch(variable) or not _is_theirs(secret) or not _KEY.fullmatch(key):
            raise Invalid(
                f"Write one variable a line, like PASSWORD=user-warehouse/password, not "
                f"{_shown(line)}. The name of the Secret begins with user-."
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
        found = [self._one(line) for line in _lines(text)]
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
        if found is None or not _is_theirs(found["name"]):
            raise Invalid(
                f"Write one volume a line, like claim/user-data=/mnt/data, not {_shown(line)}. It "
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


@dataclass(frozen=True, kw_only=True)
class AddressKind:
    """A host and a port; empty for none."""

    lines: int = 1
    choices: Sequence[str] = ()

    def parse(self, text: str) -> str:
        if not text:
            return ""
        host, _, port = text.rpartition(":")
        is_port = port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65_536
        if not (_HOST.fullmatch(host) and is_port):
            raise Invalid("Enter host and port, like statsd.monitoring.svc:9125.")
        return f"{host}:{int(port)}"

    def tidy(self, text: str) -> str:
        return self.parse(text.strip())


@dataclass(frozen=True, kw_only=True)
class NameKind:
    """The name of an object of Kubernetes; empty for none."""

    lines: int = 1
    choices: Sequence[str] = ()

    def parse(self, text: str) -> str:
        if text and not _DNS_NAME.fullmatch(text):
            raise Invalid(f"{_shown(text)} is no name of an object.")
        return text

    def tidy(self, text: str) -> str:
        return self.parse(text.strip())


@dataclass(frozen=True, kw_only=True)
class ProxyKind:
    """The URL of a proxy; empty for none. One with a password would be readable on every page."""

    lines: int = 1
    choices: Sequence[str] = ()

    def parse(self, text: str) -> str:
        if not text:
            return ""
        try:
            url = urlsplit(text)
            is_good = url.scheme in ("http", "https") and url.hostname and url.port != 0
        except ValueError:
            is_good = False
        if not is_good or not text.isascii() or not text.isprintable() or " " in text:
            raise Invalid("Enter the URL of a proxy, like http://proxy.example.org:3128.")
        if "@" in text:
            raise Invalid(
                "A proxy with a password is a secret: set HTTPS_PROXY as a secret variable of the "
                "Deployment instead."
            )
        return text

    def tidy(self, text: str) -> str:
        return self.parse(text.strip())


@dataclass(frozen=True, kw_only=True)
class HostsKind:
    """Hosts, with commas."""

    lines: int = 1
    choices: Sequence[str] = ()

    def parse(self, text: str) -> str:
        hosts = [host.strip() for host in text.split(",") if host.strip()]
        wrong = next((host for host in hosts if not re.fullmatch(r"[-A-Za-z0-9.:/*_]+", host)), "")
        if wrong:
            raise Invalid(f"Separate hosts by commas; {_shown(wrong)} is none.")
        return ",".join(dict.fromkeys(hosts))

    def tidy(self, text: str) -> str:
        return self.parse(text)


def is_qualified(name: str) -> bool:
    """Return whether a name is one of a label: up to 63 characters, with a DNS prefix or none."""
    prefix, slash, bare = name.rpartition("/")
    if slash and not _DNS_NAME.fullmatch(prefix):
        return False
    return bool(_LABEL_NAME.fullmatch(bare))


def is_reserved(name: str) -> bool:
    """Return whether a label or annotation means something to the portal, Kubernetes or Airflow."""
    prefix, slash, bare = name.rpartition("/")
    if not slash:
        return bare in RESERVED_NAMES
    return any(prefix == one or prefix.endswith(f".{one}") for one in RESERVED)


def labels_text(pairs: Pairs) -> str:
    """Write labels as people do, one a line."""
    return "\n".join(f"{name}={value}" for name, value in pairs)


def tolerations_text(tolerations: Sequence[Toleration]) -> str:
    """Write tolerations as people do, one a line."""
    return "\n".join(_toleration_text(one) for one in tolerations)


def _is_theirs(name: str) -> bool:
    return name.startswith(THEIRS) and len(name) < 64 and bool(_DNS_NAME.fullmatch(name))


def _toleration_text(one: Toleration) -> str:
    value = f"={one.value}" if one.value else ""
    return f"{one.key}{value}:{one.effect}" if one.effect else f"{one.key}{value}"


def _shown(text: str) -> str:
    return f"“{text[:60]}”"
