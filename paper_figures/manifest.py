"""manifest.json of a reproduction: what was run, from what, where, when and how long; and what need not run again."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from unilth import __version__
from unilth.paper_figures.report_read import mapping, part

NAME = "manifest.json"
LIBRARIES = ("numpy", "scipy", "sympy", "python-flint", "torch", "scikit-learn", "hypothesis", "matplotlib")


def now() -> str:
    """UTC to the second, ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read(out: Path) -> dict[str, Any]:
    """The manifest in `out`; an empty one if it is absent or not usable, so that everything runs again."""
    content = part(out / NAME).content or {}
    stages = mapping(content.get("stages"))
    return {**content, "stages": {name: mapping(entry) for name, entry in stages.items()}}


def write(out: Path, manifest: dict[str, Any]) -> None:
    """Replace the manifest in one step, with where it was run."""
    whole = {**manifest, "schema": 1, "unilth": __version__, "machine": machine(), "versions": versions()}
    handle, name = tempfile.mkstemp(prefix=f".{NAME}.", dir=out)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(json.dumps(whole, indent=1, sort_keys=True) + "\n")
    os.chmod(name, 0o644)
    os.replace(name, out / NAME)


def machine() -> dict[str, str]:
    """The processor, how much of it this process may use, the memory, the system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {"cpu": cpu_name(), "cores": str(cores), "system": f"{platform.system()} {platform.release()}"}
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        found["memory"] = f"{memory / 2**30:.1f} GiB"
    except (ValueError, OSError, AttributeError):
        pass  # not every system tells
    return found


def cpu_name() -> str:
    """The processor's name as Linux has it, else as Python has it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine() or "unknown"


def versions() -> dict[str, str]:
    """Python and the libraries that the numbers depend on; those not installed are left out."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def digest_of(*texts: str, files: Iterable[Path] = ()) -> str:
    """One SHA-256 of texts and of files by name and content."""
    state = hashlib.sha256()
    for text in texts:
        state.update(f"{len(text)}:{text}".encode())
    for path in sorted(files):
        data = path.read_bytes()
        state.update(f"{path.name}:{len(data)}:".encode() + data)
    return state.hexdigest()


def sources(folder: Path, *, without: tuple[str, ...] = ()) -> list[Path]:
    """The Python and data files of a package folder, less the sub-folders and files named."""
    kinds = (".py", ".json", ".toml")
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix in kinds and path.is_file() and not {*path.relative_to(folder).parts} & {*without}
    ]
