"""What a user imports by address: ``package.module:callable`` or ``path/to/file.py:callable``.

It is code of the user's and is run. While it is imported, torch's global generator is set, and put back afterwards.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from unilth.errors import UserError


def is_import(name: str) -> bool:
    """Whether a name is an address to import from."""
    return ":" in name


def locate(name: str, what: str, *, about: str, give: str) -> Callable[..., Any]:
    """What ``name`` addresses; UserError where there is no such module, file or callable, or its import fails.

    ``what`` is what errors call it ("network"), ``about`` how it is given, ``give`` what it should have been.
    """
    place, _, attribute = name.rpartition(":")
    if not place or not attribute:
        raise UserError(f"the {what} {name!r} is no address: {about}")
    found: Any = _module(place, f"the {what} {name!r}")
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UserError(f"the {what} {name!r}: {place} has no {attribute!r}")
        found = getattr(found, part)
    if not callable(found):
        raise UserError(f"the {what} {name!r} is a {type(found).__name__}: {give}")
    return found


def origin(name: str, found: Callable[..., Any]) -> dict[str, Any]:
    """Where ``found`` came from: module, file name, SHA-256 and version.

    The SHA-256 is that of the file that ``name`` names; where the source of ``found`` is in another file, of the two
    one after the other; None without any. A run that goes on from a checkpoint, or that is found finished, compares it
    with its own.
    """
    place = name.rpartition(":")[0]
    found = inspect.unwrap(found)
    while isinstance(found, functools.partial):
        found = inspect.unwrap(found.func)
    named = place if place.endswith(".py") else getattr(sys.modules.get(place), "__file__", None)
    sources = [Path(file).resolve() for file in (named, _source(found) or _source(type(found))) if file]
    files = [file for file in dict.fromkeys(sources) if file.is_file()]
    module = inspect.getmodule(found)
    top = sys.modules.get((module.__name__ if module else "").partition(".")[0])
    version = getattr(top, "__version__", None)
    return {
        "kind": "imported",
        "name": name,
        "module": None if place.endswith(".py") else getattr(found, "__module__", None),
        "file": files[-1].name if files else None,
        "sha256": hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest() if files else None,
        "version": version if isinstance(version, str) else None,
    }


def _source(found: Any) -> str | None:
    try:
        return inspect.getsourcefile(found)
    except (TypeError, OSError):  # for example an instance with __call__, and what was never in a file
        return None


@contextmanager
def global_generator(state: torch.Tensor) -> Iterator[None]:
    """torch's global generator is in ``state`` meanwhile, and then as it was."""
    before = torch.get_rng_state()
    torch.set_rng_state(state)
    try:
        yield
    finally:
        torch.set_rng_state(before)


def in_short(error: BaseException) -> str:
    """The kind of an error and the beginning of its text, in one line."""
    try:
        text = str(error)
    except Exception:  # of a class of the user's
        text = "its text cannot be had"
    return f"{type(error).__name__}: {' '.join(text.split())[:160]}"


def _module(place: str, named: str) -> ModuleType:
    file = Path(place)
    here = str(file.resolve().parent) if place.endswith(".py") else os.getcwd()
    if place.endswith(".py") and not file.is_file():
        raise UserError(f"{named}: there is no file {place!r}")
    before = list(sys.path)
    sys.path.insert(0, here)  # as `python file.py` and `python -m package.module` would have it
    try:
        with global_generator(torch.Generator().manual_seed(0).get_state()):  # modules may draw when they are imported
            return _from_file(file.resolve()) if place.endswith(".py") else importlib.import_module(place)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # it may be of a kind of its own that is no Exception
        raise UserError(f"{named}: importing {place} fails with {in_short(error)}") from None
    finally:
        sys.path[:] = before


def _from_file(file: Path) -> ModuleType:
    """The module of a file under a name of its own for each path and content, so that a changed file is read again."""
    content = hashlib.sha256(str(file).encode() + b"\0" + file.read_bytes()).hexdigest()[:16]
    name = f"_unilth_own_{content}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python source")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
