"""Start a program with limits: `python limited.py <cpu seconds> <memory MiB> <file MiB> command…`.

Of the standard library only, and run without our packages: it replaces itself by the command.
"""

import os
import resource
import sys

MIB = 1024**2


def main() -> None:
    """Set the limits, then become the command. A memory of 0 is unlimited."""
    cpu_seconds, memory_mib, file_mib = (int(value) for value in sys.argv[1:4])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_mib * MIB, file_mib * MIB))
    # A worker of the portal has a limit of its own, which its children inherit.
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    # macOS does not enforce it and refuses some values.
    if memory_mib and sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (memory_mib * MIB, memory_mib * MIB))
    os.execve(sys.argv[4], sys.argv[4:], dict(os.environ))  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
