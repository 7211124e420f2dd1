"""The files of an uploaded archive, zip or tar.gz, in one shape. Of the standard library only.

Nothing is unpacked: a file is read when its name, its kind and its size were found acceptable.
"""

import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
UTF8_FLAG = 0x800
UNIX, MACOS = 3, 19
CHUNK_BYTES = 256 * 1024

Kind = Literal["file", "folder", "link", "hard link", "irregular", "encrypted", "unreadable"]


class Refusal(Exception):
    """The upload is not accepted. The message is for the person who sent it."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """An entry of an archive. `packed` is how many bytes of the upload it takes."""

    name: str
    size: int
    packed: int
    kind: Kind
    is_program: bool
    read: Callable[[], bytes]


def zip_members(upload: zipfile.ZipFile) -> Iterator[Member]:
    """Yield what a zip holds, in its order."""
    for member in upload.infolist():
        is_unix = member.create_system in (UNIX, MACOS)
        yield Member(
            name=_zip_name(member),
            size=member.file_size,
            packed=member.compress_size,
            is_program=is_unix and bool(member.external_attr >> 16 & stat.S_IXUSR),
            kind=_zip_kind(member),
            read=lambda member=member: upload.read(member),  # type: ignore[misc]
        )


def tar_members(tar: tarfile.TarFile, *, packed_bytes: int, most: int) -> Iterator[Member]:
    """Yield what a tar holds, in its order. `packed_bytes` is the size of the whole upload, which
    is counted for its first file. Raises Refusal for more than `most` entries.
    """
    for number, member in enumerate(tar):
        if number > most:
            raise Refusal(f"The archive has more than {most:,} entries.")
        yield Member(
            name=unicodedata.normalize("NFC", member.name),
            size=member.size,
            packed=0 if number else packed_bytes,
            is_program=bool(member.mode & stat.S_IXUSR),
            kind=_tar_kind(member),
            read=lambda member=member: _read_tar(tar, member),  # type: ignore[misc]
        )


def check_kind(path: str, kind: Kind) -> None:
    """Raise Refusal for what is neither a file that can be read nor a folder."""
    if kind == "link":
        raise Refusal(
            f"{path} is a symbolic link. Put the file itself into the archive (zip without "
            "--symlinks, tar with --dereference)."
        )
    if kind == "hard link":
        raise Refusal(
            f"{path} is a link to another file. Pack it with tar's option --hard-dereference."
        )
    if kind == "irregular":
        raise Refusal(f"{path} is not a regular file.")
    if kind == "encrypted":
        raise Refusal(f"{path} is encrypted. Zip it without a password.")
    if kind == "unreadable":
        raise Refusal(
            f"{path} uses an unsupported compression method. Use a regular zip (deflate)."
        )


def gunzip(
    upload: Path, target: Path, *, most_bytes: int, most_ratio: int, from_bytes: int
) -> None:
    """Unpack a gzip file, as far as it is of a sane size. Raises Refusal."""
    inflate, read, written = zlib.decompressobj(wbits=31), 0, 0
    with upload.open("rb") as source, target.open("wb") as output:
        while chunk := source.read(CHUNK_BYTES):
            read += len(chunk)
            while chunk:
                part = inflate.decompress(chunk, CHUNK_BYTES)
                written += len(part)
                if written > most_bytes:
                    raise Refusal("Unpacked, the archive is too large. Leave data files out of it.")
                if written > from_bytes and written > most_ratio * read:
                    raise Refusal(
                        f"The archive unpacks to more than {most_ratio} times its size, which code "
                        "does not."
                    )
                output.write(part)
                chunk = inflate.unconsumed_tail
    if not inflate.eof:
        raise Refusal("The archive is not complete. Pack it again.")


def _zip_name(member: zipfile.ZipInfo) -> str:
    """Return the name of a file: UTF-8 if its bytes are that, whatever the flag says. Plain `zip`
    and macOS write UTF-8 and leave the flag out; old tools of Windows write code page 437.
    """
    # zipfile cuts a name at its first NUL; the uncut one shows the attempt.
    name = member.orig_filename
    if not member.flag_bits & UTF8_FLAG:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = member.orig_filename
    # macOS decomposes letters with marks; Python imports a module by its composed name.
    return unicodedata.normalize("NFC", name)


def _zip_kind(member: zipfile.ZipInfo) -> Kind:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "irregular"
    if member.flag_bits & 0x41:
        return "encrypted"
    if member.compress_type not in READABLE:
        return "unreadable"
    return "folder" if member.is_dir() else "file"


def _tar_kind(member: tarfile.TarInfo) -> Kind:
    if member.issym():
        return "link"
    if member.islnk():
        return "hard link"
    if member.isdir():
        return "folder"
    return "file" if member.isreg() and not member.issparse() else "irregular"


def _read_tar(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member)
    content = stream.read(member.size) if stream else b""
    if len(content) != member.size:
        raise EOFError
    return content
