"""The rich console of all commands: a reader that goes away ends a command as the front door says, not with code 1."""

from __future__ import annotations

from typing import NoReturn

import rich.console


class Console(rich.console.Console):
    """rich's console, but that a broken pipe is raised: rich would exit with 1, which here means a violation."""

    def on_broken_pipe(self) -> NoReturn:
        """Called while a BrokenPipeError is handled."""
        self.quiet = True
        raise BrokenPipeError
