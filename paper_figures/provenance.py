"""A figure's four files: PDF and PNG to look at, CSV with its numbers, JSON with where they came from.

The same inputs give the same bytes: no dates, no creator, 12 digits, paths relative to the figure's folder.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

from unilth import __version__
from unilth.paper_figures.gallery import FigureSpec
from unilth.paper_figures.table import Table

SUFFIXES = (".pdf", ".png", ".csv", ".json")
LIBRARIES = ("matplotlib", "numpy", "scipy", "sympy", "python-flint")


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def source_of(module: str) -> Path:
    """The file that an importable module was read from."""
    file = importlib.import_module(module).__file__
    if file is None:
        raise ValueError(f"module {module} has no source file; name a module, not a namespace")
    return Path(file)


def render(spec: FigureSpec, out: Path, results: Path) -> dict[str, bytes]:
    """The figure's files as they would stand in `out`, by suffix. Nothing is written.

    Raises UserError (from the figure's ``data``) where recorded results are needed and absent.
    """
    from unilth.paper_figures.style import style

    module = importlib.import_module(spec.module)
    table: Table = module.data(results) if spec.reads_results else module.data()
    files: dict[str, bytes] = {".csv": table.to_csv().encode()}
    title = title_of(spec, table)
    with style():
        figure = module.draw(table)
        for suffix, metadata in (
            (".pdf", {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None, "Title": title}),
            (".png", {"Software": None, "Title": title}),
        ):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix[1:], metadata=metadata)
            files[suffix] = buffer.getvalue()
    files[".json"] = (json.dumps(describe(spec, table, files, out, results), indent=2) + "\n").encode()
    return {suffix: files[suffix] for suffix in SUFFIXES}


def title_of(spec: FigureSpec, table: Table) -> str:
    """The figure's title, with what its recorded results are of."""
    return f"{spec.title}: {table.about}" if table.about else spec.title


def describe(spec: FigureSpec, table: Table, files: dict[str, bytes], out: Path, results: Path) -> dict[str, object]:
    """The provenance record. Its command is meant for the folder that the record lies in."""
    command = f"unilth figures {spec.name} --out ."
    if spec.reads_results:
        command += f" --results {Path(os.path.relpath(results, out)).as_posix()}"
    inputs = [{"module": name, "sha256": digest(source_of(name).read_bytes())} for name in (spec.module, *spec.sources)]
    inputs += [
        {"record": Path(os.path.relpath(path, out)).as_posix(), "sha256_without_timing": sha256}
        for path, sha256 in table.inputs
    ]
    return {
        "schema": 1,
        "figure": spec.name,
        "title": title_of(spec, table),
        "caption": spec.caption,
        "command": command,
        "run_in": "the folder of this file",
        "n_per_point": dict(table.n) if spec.reads_results else "closed form: nothing was sampled",
        "missing": table.missing,
        "inputs": inputs,
        "files": {f"{spec.name}{suffix}": digest(data) for suffix, data in sorted(files.items())},
        "versions": {"unilth": __version__, "python": platform.python_version()}
        | {library: version(library) for library in LIBRARIES},
    }


def write(spec: FigureSpec, out: Path, results: Path) -> list[Path]:
    """Render and write the figure's files into `out` (made if absent); each appears whole or not at all."""
    files = render(spec, out, results)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for suffix, data in files.items():
        target = out / f"{spec.name}{suffix}"
        partial = out / f".{spec.name}{suffix}.{os.getpid()}"
        partial.write_bytes(data)
        partial.replace(target)
        written.append(target)
    return written


def differences(spec: FigureSpec, out: Path, results: Path) -> list[str]:
    """Names of the figure's files in `out` that are absent or differ from what would be written now."""
    found = []
    for suffix, data in render(spec, out, results).items():
        path = out / f"{spec.name}{suffix}"
        if not path.is_file():
            found.append(f"{path.name} is missing")
        elif path.read_bytes() != data:
            found.append(f"{path.name} differs")
    return found
