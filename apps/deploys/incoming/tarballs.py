"""Turn an untrusted gzipped tar into a zip, which is then checked as any zip is.

It runs as a process of its own, with limits on memory, time and output: a header of a tar may ask
its reader for any amount of memory. It uses the standard library only. The job is JSON on stdin;
on stdout is a sentence where the tar is refused, and nothing where the zip is written.
"""

import json
import resource
import stat
import sys
import tarfile
import zipfile
import zlib
from typing import IO, Any

FOLDER = "dags/"
FIXED_TIME = (1980, 1, 1, 0, 0, 0)
MIB = 1024 * 1024


class Refusal(Exception):
    """The upload is not accepted. The message is for the person who sent it."""


def main() -> None:
    job = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_AS, (job["memory_bytes"],) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (job["cpu_seconds"], job["cpu_seconds"] + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (job["max_unpacked_bytes"] + 16 * MIB,) * 2)
    try:
        _convert(job)
    except Refusal as refusal:
        print(refusal)
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError) as error:
        if "No space left" in str(error):
            raise
        print(
            "The upload is no gzipped tar archive, or it did not arrive completely. Send it again."
        )


def _convert(job: dict[str, Any]) -> None:
    with (
        tarfile.open(job["upload"], "r:gz", errorlevel=0) as tar,
        zipfile.ZipFile(job["output"], "w", zipfile.ZIP_DEFLATED, compresslevel=1) as output,
    ):
        size = 0
        for number, member in enumerate(tar):
            if number > 2 * job["max_files"]:
                raise Refusal(f"The archive contains more than {job['max_files']:,} files.")
            if member.isdir():
                continue
            if not member.isreg():
                shown = member.name.encode("unicode_escape").decode()[:120]
                raise Refusal(f"{shown} is a link or a device. Deploy plain files.")
            size += member.size
            if member.size > job["max_file_bytes"] or size > job["max_unpacked_bytes"]:
                raise Refusal("The archive is too large. Leave data files out of the dags folder.")
            stream = tar.extractfile(member)
            if stream is not None:
                _add(output, member, stream)


def _add(output: zipfile.ZipFile, member: tarfile.TarInfo, stream: IO[bytes]) -> None:
    name = member.name.removeprefix("./").removeprefix(FOLDER)
    entry = zipfile.ZipInfo(name or "unnamed", FIXED_TIME)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFREG | (member.mode & 0o777)) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    output.writestr(entry, stream.read())
