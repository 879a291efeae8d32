"""Files written whole: an old one stays until the new one is complete. Needs no torch."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The folders of a process's open streams, with the process (none: the one that asks).
STREAMS = re.compile(r"/proc/(\d+)(?:/task/\d+)?/fd|/dev/fd")

# Why a file cannot be replaced although it may be writable: its folder is not, or it is mounted there by itself.
NOT_REPLACED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV)


def write(path: Path, content: bytes, *, mode: int | None = None, sync: bool = False, part: str | None = None) -> None:
    """Write a file in one step: whoever reads it sees all of it or none. A link of that name is replaced, not followed.

    ``mode`` is what new files get where it is None; with ``sync`` the content is on the disk before it has the name.
    Until then its name begins with ``part``, or else with a dot and its name (`records.remove_parts`), which a name of
    nearly 255 bytes leaves no room for. The OSError of a failure names ``path``, as a full disk names no file.
    """
    name = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}." if part is None else part, dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask() if mode is None else mode)
        os.replace(name, path)
    except BaseException as error:
        if name is not None:
            Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)
        raise


def put(path: Path, content: bytes) -> None:
    """Write a file that a user names, in one step; a full disk or a crash costs nothing that was there before.

    A link stays and the file behind it is replaced. What is no regular file (a pipe, a terminal) is written to as it
    is, and an open stream of a process (/dev/stdout, /dev/fd/N) through that stream, whatever is behind it: a file in
    its place would not be what was asked for. A file that cannot be replaced, as its folder cannot be written or it is
    mounted by itself, is written over. The OSError of a failure names ``path``.
    """
    with _naming(path):
        _refuse(path)
        stream = _stream(path)
        if stream is not None:
            for own in (sys.stdout, sys.stderr):  # what was printed before stands before
                if own is not None:
                    own.flush()
            with open(_opened(stream), "wb") as file:
                file.write(content)
            return
        found = _stat(path)
        if found is not None and not stat.S_ISREG(found.st_mode):
            with open(os.open(path, os.O_WRONLY), "wb") as file:
                file.write(content)
            return
        target = Path(os.path.realpath(path))
        mode = None if found is None else found.st_mode & 0o777
        try:
            write(target, content, mode=mode, sync=True, part=".unilth.")
        except OSError as error:
            if found is None or error.errno not in NOT_REPLACED:
                raise
            _over(target, content)


def refuse(path: Path) -> None:
    """Raise the OSError that `put` would end with, as far as that can be known; nothing is created or changed."""
    with _naming(path):
        _refuse(path)


def in_place(path: Path) -> bool:
    """Whether `put` writes to what is there, a pipe or an open stream, so that two can be written one after another."""
    found = _stat(path)
    return _stream(path) is not None or (found is not None and not stat.S_ISREG(found.st_mode))


def _refuse(path: Path) -> None:
    stream, found = _stream(path), _stat(path)
    if stream is not None and _is_own(stream):
        descriptor = _opened(stream)
        try:
            if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
                raise OSError(errno.EBADF, "It is open for reading only")
        finally:
            os.close(descriptor)
    elif found is not None:
        if not os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    else:
        with tempfile.TemporaryFile(dir=Path(os.path.realpath(path)).parent):  # has no name, or not for long
            pass


def _stat(path: Path) -> os.stat_result | None:
    """What is behind a name, through links; None where there is nothing yet."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _stream(path: Path) -> Path | None:
    """The /proc/PID/fd/N or /dev/fd/N that a name such as /dev/stdout, or a link to it, leads to."""
    for _ in range(40):
        folder = Path(os.path.realpath(path.parent))
        if STREAMS.fullmatch(str(folder)):
            return folder / path.name
        try:
            path = folder / os.readlink(path)
        except OSError:  # no link
            return None
    return None


def _is_own(stream: Path) -> bool:
    process = STREAMS.fullmatch(str(stream.parent))
    own = os.path.basename(os.path.realpath("/proc/self"))
    return stream.name.isdecimal() and process is not None and process[1] in (None, own)


def _opened(stream: Path) -> int:
    """A descriptor that writes where the stream is; opened anew, a file would be written from its beginning."""
    return os.dup(int(stream.name)) if _is_own(stream) else os.open(stream, os.O_WRONLY | os.O_APPEND)


def _over(path: Path, content: bytes) -> None:
    """Write over a file. The room is taken first, so that a full disk leaves what was there."""
    with open(os.open(path, os.O_WRONLY), "wb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            if content and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, len(content))
        except OSError as error:
            os.ftruncate(file.fileno(), size)
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # which say that the file system cannot
                raise
        file.write(content)
        file.flush()
        os.ftruncate(file.fileno(), len(content))
        os.fsync(file.fileno())


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
