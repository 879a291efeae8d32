"""Finished parts of a study on disk, so that an interrupted one goes on where it was."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy
import scipy
import torch

from unilth.errors import UserError
from unilth.sims.checkpoints import code_digest
from unilth.sims.endpoints.plan import Plan
from unilth.sims.endpoints.records import LARGEST, write_json
from unilth.sims.records import read_json

ASIDE = ("effects", "kept", "nearest", "page", "records", "run", "verdicts")  # modules that measure nothing


class Kept:
    """One file per part; a part that another plan, data set, device, code or library made counts as not there.

    How many seeds and which parts a plan asks for decides nothing within a part: a wider plan takes them too.
    """

    def __init__(self, folder: Path, plan: Plan, data_digest: str, device: str = "cpu") -> None:
        state = hashlib.sha256(code_digest().encode())
        for path in sorted(Path(__file__).parent.glob("*.py")):
            if path.stem not in ASIDE:
                state.update(path.name.encode() + path.read_bytes())
        versions = f"torch {torch.__version__}, numpy {numpy.__version__}, scipy {scipy.__version__}"
        within = {name: value for name, value in asdict(plan).items() if name not in ("seeds", "only")}
        state.update(f"{json.dumps(within, sort_keys=True)} {data_digest} {device} {versions}".encode())
        self.folder, self.identity = folder, state.hexdigest()

    def path(self, name: str) -> Path:
        """Where a part is kept."""
        return self.folder / f"{name.replace(' ', '-').replace(',', '')}.json"

    def read(self, name: str) -> dict[str, Any] | None:
        """What `parts.measure_part` returned for this part, or None."""
        path = self.path(name)
        try:
            found = read_json(path, largest=LARGEST) if path.is_file() else None
        except UserError:
            return None
        if not isinstance(found, dict) or found.get("identity") != self.identity:
            return None
        return {"result": found["result"], "cpu_seconds": found["cpu_seconds"]}

    def write(self, name: str, found: dict[str, Any]) -> None:
        """Keep a part."""
        write_json(self.path(name), {"identity": self.identity, **found})
