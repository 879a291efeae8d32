"""A folder with a user's files for a test, which is the current one; what was imported from it is forgotten after."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def own_folder(folder: Path, monkeypatch, **files: str) -> Iterator[Path]:
    """``files`` are Python files, by their names without ``.py``."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.chdir(folder)
    yield folder
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]
