"""The command line: finds the command, imports only what it needs, turns errors into one sentence and exit code 2."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from typing import NamedTuple, TextIO

from unilth import interrupts
from unilth.errors import UserError
from unilth.printable import printable


class Command(NamedTuple):
    """One subcommand: its name, the module whose ``main(argv) -> int`` runs it, and what it does in one line.

    ``resumes``: whether the same command goes on where it was interrupted. ``loads``: whether it imports what it needs
    by and by, and says itself when its work begins (`interrupts.raise_again`).
    """

    name: str
    module: str
    help: str
    resumes: bool = False
    loads: bool = False


COMMANDS = (
    Command(
        "reproduce",
        "unilth.commands.reproduce",
        "prove, check, train, draw and report: everything, small, on real data",
        resumes=True,
    ),
    Command("prove", "unilth.commands.prove", "run the theorems as tests and print the ledger"),
    Command(
        "check", "unilth.commands.check", "check a mask rule, penalty schedule or ticket finder against the invariants"
    ),
    Command(
        "find",
        "unilth.commands.find",
        "train one ticket with a recipe of the zoo and save it",
        resumes=True,
        loads=True,
    ),
    Command(
        "sweep",
        "unilth.commands.sweep",
        "run a campaign: a grid of tickets in worker processes, resumable",
        resumes=True,
    ),
    Command("table", "unilth.commands.table", "print the comparison table of finished runs"),
    Command(
        "endpoints",
        "unilth.commands.endpoints",
        "measure where the closed forms hold on a real network",
        resumes=True,
    ),
    Command("figures", "unilth.commands.figures", "regenerate figures with their data and provenance"),
)

# Distributions behind the extras, by the module whose absence gives them away.
EXTRAS = {
    "torch": "sims", "safetensors": "sims", "sklearn": "sims", "hypothesis": "sims",
    "matplotlib": "figures", "submitit": "cluster", "flint": "all", "sympy": "all", "pytest": "test",
}  # fmt: skip


def usage() -> str:
    """The text of ``unilth --help``."""
    width = max(len(command.name) for command in COMMANDS)
    rows = "\n".join(f"  {command.name:<{width}}  {command.help}" for command in COMMANDS)
    return (
        "usage: unilth [--version] [--help] COMMAND ...\n\n"
        "Claims about winning lottery tickets (UniLTH, UniDLTH), settled.\n\n"
        f"commands:\n{rows}\n\n"
        "`unilth COMMAND --help` explains one command. Exit codes: 0 all well, 1 something does not hold,\n"
        "2 something given cannot be used.\n"
    )


def complain(message: str) -> int:
    """Print one sentence to standard error and return exit code 2."""
    _say("unilth: error: " + printable(" ".join(message.split())))
    return 2


def _say(line: str) -> None:
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):  # full, or closed: the exit code still says it
        _give_up(sys.stderr)


def main(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code; never lets an expected error become a traceback."""
    try:
        return _printed(_main(sys.argv[1:] if argv is None else argv))
    except SystemExit as stopped:  # of a command's --help or a wrong option
        if isinstance(stopped.code, int) and (code := _printed(stopped.code)) != stopped.code:
            return code
        raise
    except OSError as error:
        return _unprinted(error)


def _printed(code: int) -> int:
    """The exit code where all output is out, and otherwise the one that says that it is not."""
    for stream in (sys.stderr, sys.stdout):
        try:
            if stream is not None and not getattr(stream, "closed", False):  # a caller's own need not say
                stream.flush()
        except OSError as error:
            if stream is sys.stdout and code in (0, 1):
                return _unprinted(error)
            _give_up(stream)
    return code


def _unprinted(error: OSError) -> int:
    """The exit code where standard output cannot be written."""
    _give_up(sys.stdout)
    if isinstance(error, BrokenPipeError):
        return 141
    return complain(f"standard output cannot be written: {error.strerror or error}")


def _give_up(stream: TextIO) -> None:
    """Drop what a stream still holds, so that the interpreter's own flush at its end neither complains nor fails."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # some have no descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage(), end="", flush=True)
        return 0 if argv else 2
    if argv[0] in ("-V", "--version"):
        from unilth import __version__  # slow

        print(f"unilth {__version__}", flush=True)
        return 0
    chosen = next((command for command in COMMANDS if command.name == argv[0]), None)
    if chosen is None:
        names = ", ".join(command.name for command in COMMANDS)
        return complain(f"there is no command {argv[0]!r}; the commands are {names}")
    try:
        module = importlib.import_module(chosen.module)
        if not chosen.loads:
            interrupts.raise_again()
        return int(module.main(argv[1:]))
    except UserError as error:
        return complain(str(error))
    except ModuleNotFoundError as error:
        root = (error.name or "").partition(".")[0]
        if root not in EXTRAS:
            raise
        return complain(
            f"`unilth {chosen.name}` needs {root}, which is not installed: pip install 'unilth[{EXTRAS[root]}]'"
        )
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # of the output, which `main` answers
            raise
        where = f" ({error.filename})" if error.filename else ""
        if isinstance(error, IsADirectoryError):
            return complain(f"`unilth {chosen.name}` needs a file and {error.filename} is a folder: name a file in it")
        return complain(f"`unilth {chosen.name}` cannot read or write{where}: {error.strerror or error}")
    except KeyboardInterrupt:
        kept = "; what was finished is kept, the same command goes on" if chosen.resumes else ""
        _say(f"unilth: interrupted{kept}")
        return 130


def run() -> None:
    """The console script."""
    interrupts.end_at_once()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show, as a name that is no text, is escaped
            stream.reconfigure(errors="backslashreplace")
    sys.exit(main())
