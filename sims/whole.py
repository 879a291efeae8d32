"""Files that users name, written whole: an old one stays until the new one is complete. Needs no torch."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def put(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` in one step; a full disk costs nothing that was there before.

    A link stays and the file behind it is replaced. What is no regular file (a pipe, /dev/stdout) is written to as it
    is: a file in its place would not be what was asked for. The OSError of a failure names ``path``.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        path.write_bytes(content)
        return
    name = None
    try:
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~umask()
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a rename that is on the disk before the content would leave an empty file
        os.chmod(name, mode)
        os.replace(name, target)
    except BaseException as error:
        if name is not None:
            Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # a full disk names no file
        raise


def umask() -> int:
    """The mask of this process for the modes of new files."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
