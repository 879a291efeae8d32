"""One writer per folder: a lock file with the holder's pid, let go by the kernel when the holder dies."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unilth.errors import UserError

LOCK = ".lock"
WITHOUT = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)  # what file systems answer that have no locks


@contextmanager
def locked(folder: Path, *, name: str, by: str = "sweep") -> Iterator[None]:
    """Hold ``folder``'s lock; another live holder raises ``UserError`` with its pid, ``name`` and the remedy.

    ``by`` is what the other holder is. The lock is ``flock`` on the file ``.lock``, so a holder that was killed leaves
    nothing stale behind: the file and the pid in it stay, the lock does not. The file is never deleted (that would let
    two processes hold two files of one name). On a file system without locks nobody is kept out. UserError also where
    ``.lock`` is anything but such a file: a link would have its target overwritten.
    """
    descriptor = _opened(folder, name)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode("utf-8", "replace").strip() or "unknown pid"
            raise UserError(
                f"{name} {str(folder)!r} is in use by another {by} ({holder}); wait for it, end it, or name another"
            ) from None
        except OSError as error:
            if error.errno not in WITHOUT:
                raise
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)  # lets the lock go


def _opened(folder: Path, name: str) -> int:
    """The lock file, made if missing; not through a link, and no pipe, which would block or swallow what is written."""

    def refused(why: str) -> UserError:
        return UserError(
            f"{name} {str(folder)!r} cannot be locked: its {LOCK} is {why}; move that away or name another"
        )

    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(folder / LOCK, flags, 0o666)
    except OSError as error:
        kinds = {errno.ELOOP: "a symbolic link", errno.EISDIR: "a folder", errno.ENXIO: "no regular file"}
        if error.errno not in kinds:
            raise
        raise refused(kinds[error.errno]) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise refused("no regular file")
    if not re.fullmatch(rb"|pid .*", os.pread(descriptor, 200, 0), re.DOTALL):
        os.close(descriptor)
        raise refused("a file of something else")
    return descriptor
