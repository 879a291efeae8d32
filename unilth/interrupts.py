"""Ctrl-C while a command only loads modules: the process ends at once, with a sentence.

Importing numpy, SciPy and torch takes seconds, and a KeyboardInterrupt there is swallowed (the command goes on) or
comes out as another error's traceback. Until something is computed there is nothing that an exception could save.
"""

from __future__ import annotations

import os
import signal
from types import FrameType


def end_at_once() -> None:
    """From here on Ctrl-C ends the process. For the console script only: a library leaves signals alone.

    Where Ctrl-C is ignored, as in a shell's background jobs, it stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_again() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt again, as there is something to be saved."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    # a progress bar leaves its line and has hidden the cursor; print is not safe in the middle of another print
    restored = b"\r\x1b[2K\x1b[?25h" if os.isatty(2) else b""
    os.write(2, restored + b"unilth: interrupted\n")
    os._exit(130)
