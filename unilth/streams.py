"""Standard output and error around code of others, which may replace, close or redirect them."""

from __future__ import annotations

import fcntl
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

from unilth.errors import UserError

_LEFT: list[object] = []
"""Streams that were taken out of use: one that wraps another's buffer would close that as well where it is freed."""


@contextmanager
def put_back() -> Iterator[Any]:
    """After the block sys.stdout and sys.stderr are those of before, open, and write where they did.

    In the block they are what the code there makes of them. The block gets a stream of its own to standard error,
    which nothing done to sys.stderr touches; where sys.stderr has no descriptor that is sys.stderr itself.

    Raises:
        UserError: at the end, if standard output was closed and has no descriptor, so that nothing opens it again.
    """
    output, error = _Kept("stdout"), _Kept("stderr")
    try:
        yield error.aside()
    finally:
        error.restore()
        output.restore()
    if _closed(sys.stdout):
        raise UserError("what is checked closed standard output, where the report belongs: keep it open")


class _Kept:
    """One of the two as it was: the object, how it writes, and a copy of the descriptor behind it if there is one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stream, self.first = (cast(Any, getattr(sys, one, None)) for one in (name, f"__{name}__"))
        self.look = _look(self.stream)
        self.number = self.copy = -1
        self.own: Any = None
        if self.look is not None:
            with suppress(OSError, ValueError):  # one that writes to memory has no descriptor
                self.number = self.stream.fileno()
                self.copy = fcntl.fcntl(self.number, fcntl.F_DUPFD_CLOEXEC, 3)  # none of the three that have a meaning

    def aside(self) -> Any:
        """Another stream to the same place."""
        if self.copy >= 0 and self.own is None:
            self.own = self._opened(self.copy)
        return self.stream if self.own is None else self.own

    def restore(self) -> None:
        """Put everything back; what is still held for the place where the block's code writes goes there first."""
        now = getattr(sys, self.name, None)  # it may have been deleted
        if now is not self.stream:
            _LEFT.append(now)
            _flush(now)
        if self.copy >= 0:
            if not _same(self.number, self.copy):
                _flush(self.stream)
                os.dup2(self.copy, self.number, inheritable=self.number < 3)
            if _look(self.stream) != self.look:
                _flush(self.stream)
                _LEFT.append(self.stream)
                again = self._opened(self.number)
                self.first, self.stream = again if self.first is self.stream else self.first, again
            if self.own is not None:
                with suppress(OSError):
                    self.own.close()
            os.close(self.copy)
        setattr(sys, self.name, self.stream)
        setattr(sys, f"__{self.name}__", self.first)  # which the interpreter flushes at its end

    def _opened(self, number: int) -> io.TextIOWrapper:
        encoding, errors, line_buffering, write_through, _ = self.look or (None, None, False, False, None)
        raw: Any = io.FileIO(number, "w", closefd=False)
        return io.TextIOWrapper(
            raw if write_through else io.BufferedWriter(raw), encoding, errors,
            newline="\n", line_buffering=line_buffering, write_through=write_through,
        )  # fmt: skip


def _look(stream: Any) -> tuple[Any, ...] | None:
    """How a stream to a file writes, with what was set on the object itself; None where it cannot or is another."""
    try:
        if not isinstance(stream, io.TextIOWrapper) or stream.closed:
            return None
        return stream.encoding, stream.errors, stream.line_buffering, stream.write_through, {**vars(stream)}
    except ValueError:  # it was parted from its buffer
        return None


def _closed(stream: Any) -> bool:
    try:
        return bool(getattr(stream, "closed", False))
    except ValueError:  # it was parted from its buffer
        return True


def _same(first: int, second: int) -> bool:
    try:
        return os.path.sameopenfile(first, second)
    except OSError:  # the first was closed
        return False


def _flush(stream: Any) -> None:
    with suppress(Exception, SystemExit):  # code of others
        stream.flush()
