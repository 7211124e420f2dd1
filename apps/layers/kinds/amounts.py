"""How much and how many: sizes, numbers, switches, CPUs and memory."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from apps.core.errors import Invalid
from apps.dataplane.production import Size

_CUSTOM_SIZE = re.compile(r"(\d{1,2}(?:\.\d{1,3})?) ?CPU, ?(\d{1,6}) ?(Mi|Gi)B?", re.IGNORECASE)
_CPU = re.compile(r"(\d{1,5})(?:\.(\d{1,3}))?")
_MEMORY = re.compile(r"(\d{1,7}) ?(Mi|Gi)B?")


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
