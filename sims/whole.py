"""Files written whole: an old one stays until the new one is complete. Needs no torch."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write(path: Path, content: bytes, *, mode: int | None = None, sync: bool = False) -> None:
    """Write a file in one step: whoever reads it sees all of it or none. A link of that name is replaced, not followed.

    ``mode`` is what new files get where it is None; with ``sync`` the content is on the disk before it has the name.
    The OSError of a failure names ``path``, as a full disk names no file.
    """
    name = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
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

    A link stays and the file behind it is replaced. What is no regular file (a pipe, /dev/stdout) is written to as it
    is: a file in its place would not be what was asked for. The OSError of a failure names ``path``.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        path.write_bytes(content)
        return
    try:
        write(target, content, mode=target.stat().st_mode & 0o777 if target.exists() else None, sync=True)
    except OSError as error:
        error.filename = str(path)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
