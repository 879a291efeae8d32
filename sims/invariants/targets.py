"""From a target's text, or a Python object, to the thing under check: what can go wrong here is one sentence each."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from unilth.errors import UserError
from unilth.sims.invariants.declarations import Claims, claims_of, said
from unilth.sims.invariants.invariant import ENDS, raised
from unilth.sims.invariants.saved import SavedTicket, open_ticket

DECORATORS = (
    ("scores", '@mask_rule(scope="global", keeps="largest")'),
    ("step", "@penalty_schedule(ceiling=1.0, steps=10_000)"),
    ("network", '@ticket_finder(rewinds=True, keeps="largest")'),
)


@dataclass(frozen=True)
class Loaded:
    """A target that can be checked: its address on a command line (None: it has none), what to call, its claims."""

    name: str
    address: str | None
    call: Callable[..., Any]
    claims: Claims | SavedTicket
    folder: str | None = None
    """Where the target finds its neighbours, which it may import as late as when it is called."""


def load(target: object) -> Loaded:
    """Load ``package.module:name``, ``path/to/file.py:name`` or a decorated object. UserError if it is unusable."""
    if isinstance(target, Loaded):
        return target
    if isinstance(target, os.PathLike):
        target = os.fspath(target)
    if not isinstance(target, str):
        name = _describe(target)
        return Loaded(name, _address(target), *_declared(target, name))
    if target.endswith(".safetensors"):
        saved = open_ticket(Path(target))
        return Loaded(target, target, lambda: saved, saved)
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise UserError(
            f"target {target!r} must look like package.module:name, path/to/file.py:name or ticket.safetensors"
        )
    if place.endswith(".py"):
        module, folder = _load_file(Path(place), target)
    else:
        folder = os.getcwd()
        module = _load_module(place, target, folder)
    found: Any = module
    for part in name.split("."):
        try:
            with importable(folder):  # a module's own __getattr__ may import
                found = getattr(found, part)
        except AttributeError:
            offered = [key for key, value in vars(module).items() if claims_of(value) is not None]
            near = difflib.get_close_matches(name, offered) or offered
            hint = f"it declares {', '.join(near)}" if near else "it declares nothing that can be checked"
            raise UserError(f"target {target!r}: {place} has no {name!r}; {hint}") from None
        except ENDS:
            raise
        except BaseException as error:
            raise UserError(f"target {target!r}: looking up {part!r} in {place} {raised(error)}") from None
    return Loaded(target, target, *_declared(found, target), folder)


def _declared(found: Any, name: str) -> tuple[Callable[..., Any], Claims]:
    claims = claims_of(found)
    if claims is None:
        if not callable(found):
            raise UserError(f"target {name!r} is of the type {type(found).__name__}, not a function")
        ours = _ours(found)
        if ours is not None:
            raise UserError(f"target {name!r} declares nothing; {ours} is the same with what it claims")
        raise UserError(
            f"target {name!r} declares nothing; put {_suggest(found)} above it (from unilth.sims.invariants)"
        )
    return found, claims


def _ours(found: Callable[..., Any]) -> str | None:
    """The address of our own declared rule or schedule, where somebody names what lies behind it."""
    if not str(said(found, "__module__")).startswith("unilth.sims."):
        return None
    ours = importlib.import_module("unilth.sims.invariants.ours")
    name = said(found, "__name__") or ""
    return None if claims_of(getattr(ours, name, None)) is None else f"{ours.__name__}:{name}"


def _suggest(found: Callable[..., Any]) -> str:
    try:
        first = next(iter(inspect.signature(found).parameters), "")
    except Exception:  # it has no signature, or is a proxy that cannot tell now
        first = ""
    for parameter, decorator in DECORATORS:
        if parameter in first:
            return decorator
    return "@mask_rule(...), @penalty_schedule(...) or @ticket_finder(...)"


@contextlib.contextmanager
def importable(folder: str | None) -> Iterator[None]:
    """A target's folder at the front of the import path, as `python file.py` would have it; None: nothing to add.

    At its end are the names of files that were loaded, for processes that the target starts anew (multiprocessing).
    """
    added = [] if folder is None else [folder]
    sys.path[:0] = added
    if STAND_INS:
        added.append(STAND_INS[0].name)
        sys.path.append(STAND_INS[0].name)
    try:
        yield
    finally:
        for place in added:
            with contextlib.suppress(ValueError):
                sys.path.remove(place)


STAND_INS: list[tempfile.TemporaryDirectory[str]] = []
STAND_IN = """import importlib.util, sys
spec = importlib.util.spec_from_file_location(__name__, {path!r})
sys.modules[__name__] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules[__name__])
"""


def _stand_in(name: str, path: Path) -> None:
    """A module in a folder of its own that loads a file under the name that it has here."""
    with contextlib.suppress(OSError, UnicodeError):  # without it the target may still start no process
        if not STAND_INS:
            STAND_INS.append(tempfile.TemporaryDirectory(prefix="unilth-", ignore_cleanup_errors=True))
        Path(STAND_INS[0].name, f"{name}.py").write_text(STAND_IN.format(path=str(path)), encoding="utf-8")


def _load_module(name: str, target: str, folder: str) -> ModuleType:
    with importable(folder):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if missing and (name == missing or name.startswith(missing + ".")):
                raise UserError(
                    f"target {target!r}: there is no module {missing!r} here or among the installed ones"
                ) from None
            raise UserError(f"target {target!r}: importing {name} needs {missing!r}, which is not installed") from None
        except ENDS:
            raise
        except BaseException as error:
            raise UserError(_failed(target, name, error)) from None


def _load_file(path: Path, target: str) -> tuple[ModuleType, str]:
    """The file as a module, and the folder that it imports from."""
    if not os.path.isfile(path):  # unlike Path.is_file it takes names that no file can have
        raise UserError(f"target {target!r}: there is no file {str(path)!r}")
    resolved = path.resolve()
    if (resolved.parent / "__init__.py").is_file():
        root, found = _load_part(resolved, target)
        if found is not None:
            return found, root
    folder = str(resolved.parent)
    # A name of its own for each path, in sys.modules, so that dataclasses, pickling and inspection work in the file.
    stem = "".join(letter if letter.isalnum() else "_" for letter in resolved.stem)
    name = f"_unilth_target_{stem}_{hashlib.sha256(os.fsencode(resolved)).hexdigest()[:8]}"
    digest = hashlib.sha256(resolved.read_bytes()).hexdigest()  # the file may have been edited since, as in a notebook
    if getattr(sys.modules.get(name), "__unilth_digest__", None) == digest:
        return sys.modules[name], folder
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise UserError(f"target {target!r}: {str(path)!r} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    module.__unilth_digest__ = digest  # type: ignore[attr-defined]
    sys.modules[name] = module
    _stand_in(name, resolved)
    with importable(folder):
        try:
            spec.loader.exec_module(module)
        except BaseException as error:
            sys.modules.pop(name, None)
            if isinstance(error, ENDS):
                raise
            raise UserError(_failed(target, str(path), error)) from None
    return module, folder


def _load_part(path: Path, target: str) -> tuple[str, ModuleType | None]:
    """A file of a package, under its full name, so that its relative imports work; None if another has that name."""
    root, parts = path.parent, [path.stem] if path.stem != "__init__" else []
    while (root / "__init__.py").is_file():
        root, parts = root.parent, [root.name, *parts]
    module = _load_module(".".join(parts), target, str(root))
    return str(root), module if os.path.realpath(getattr(module, "__file__", None) or "") == str(path) else None


def _failed(target: str, place: str, error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        line = "" if error.lineno is None else f" in line {error.lineno}"  # None: the file is not even text
        return f"target {target!r}: {place} has a syntax error{line}: {error.msg}"
    if isinstance(error, ModuleNotFoundError):
        return f"target {target!r}: importing {place} needs {error.name!r}, which is not installed"
    return f"target {target!r}: importing {place} {raised(error)}"


def _describe(target: object) -> str:
    return f"{said(target, '__module__') or '?'}:{said(target, '__qualname__') or type(target).__name__}"


def _address(target: object) -> str | None:
    """A text that loads this very object again, or None (a lambda, a local function, a notebook's cell)."""
    module, name = said(target, "__module__"), said(target, "__qualname__")
    if not module or not name or "<" in name:
        return None
    loaded = sys.modules.get(module)
    spec = getattr(loaded, "__spec__", None)
    path = getattr(loaded, "__file__", None)
    if getattr(loaded, name.partition(".")[0], None) is None:
        return None
    importable = spec is not None and module != "__main__" and not module.startswith("_unilth_target_")
    if importable and _finds(module, path):
        return f"{module}:{name}"
    return f"{os.path.relpath(path)}:{name}" if path and path.endswith(".py") and os.path.exists(path) else None


def _finds(module: str, path: str | None) -> bool:
    """Whether a fresh interpreter in this folder would import the same file.

    pytest's importlib mode invents names, and its other modes, like `python file.py`, put folders on the import path
    that are not there the next time.
    """
    name = module.partition(".")[0]
    lasting = [os.getcwd(), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    installed = tuple(os.path.join(os.path.realpath(prefix), "") for prefix in {sys.prefix, sys.base_prefix})
    before = sys.path[:]
    sys.path[:] = [*lasting, *(entry for entry in before if os.path.realpath(entry).startswith(installed))]
    try:
        found = (finder.find_spec(name, None) for finder in sys.meta_path if hasattr(finder, "find_spec"))
        spec = next((spec for spec in found if spec is not None), None)  # not the loaded module's own
    except (ImportError, ValueError):
        return False
    finally:
        sys.path[:] = before
    if spec is None:
        return False
    if "." in module:
        return True
    return path is None or spec.origin is None or os.path.realpath(spec.origin) == os.path.realpath(path)
