"""Tickets on disk: ticket.safetensors (weights, initial weights, packed mask) and ticket.json, never pickle.

A file may come from anywhere: sizes, names, shapes, types, finiteness, zeros under the mask and the digest are checked
before a ticket is handed out, and whatever does not fit is a `UserError`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from unilth.errors import UserError
from unilth.sims import masks
from unilth.sims.masks import Mask
from unilth.sims.records import read_json
from unilth.sims.spec import RunSpec

SCHEMA = 1
TENSORS, FACTS = "ticket.safetensors", "ticket.json"
LARGEST_HEADER = 16 << 20  # bytes; a header lists names and shapes only
DTYPES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2,
    "U8": 1, "BOOL": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Ticket:
    """A sparse network: its mask, its weights after training, its weights at initialisation, and where it comes from.

    ``weights`` and ``initial`` are whole state dictionaries (buffers included); ``sparsity`` is the nominal one.
    ``masks`` are those of the rounds, each inside the one before; they are not saved.
    """

    mask: Mask
    weights: dict[str, Tensor]
    initial: dict[str, Tensor]
    sparsity: float = 0.0
    recipe: str = ""
    network: str = ""
    spec: RunSpec | None = None
    masks: tuple[Mask, ...] = ()

    def digest(self) -> str:
        """SHA-256 (hex) of mask, weights and initial weights: names, types, shapes and bits."""
        state = hashlib.sha256(masks.digest(self.mask).encode())
        for part in (self.weights, self.initial):
            for name in sorted(part):
                tensor = part[name].detach().cpu().contiguous()
                state.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
                state.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        return state.hexdigest()

    def save(self, directory: Path | str) -> Path:
        """Write both files into ``directory`` (made if missing), each in one step; returns the path of the tensors."""
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"weights/{name}": value for name, value in self.weights.items()}
        tensors |= {f"initial/{name}": value for name, value in self.initial.items()}
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        tensors["mask"] = torch.from_numpy(np.frombuffer(masks.packed(self.mask), np.uint8).copy())
        facts = {
            "schema": SCHEMA,
            "recipe": self.recipe,
            "network": self.network,
            "digest": self.digest(),
            "sparsity": {"nominal": self.sparsity, "counted": masks.sparsity_of(self.mask)},
            "mask": {name: list(kept.shape) for name, kept in self.mask.items()},
            "spec": dataclasses.asdict(self.spec) if self.spec else None,
        }
        write(folder / TENSORS, to_safetensors(tensors))
        write(folder / FACTS, json.dumps(facts, indent=1, sort_keys=True).encode() + b"\n")
        return folder / TENSORS

    @staticmethod
    def load(path: Path | str) -> Ticket:
        """Read a ticket from its folder or from its ticket.safetensors; UserError names what is wrong with it."""
        folder = Path(path)
        folder = folder if folder.is_dir() else folder.parent
        facts = read_facts(folder)
        where = folder / TENSORS
        mask_shapes = _shapes(facts, where)
        tensors = _read_tensors(where)
        packed = tensors.pop("mask", None)
        weights = {name[8:]: value for name, value in tensors.items() if name.startswith("weights/")}
        initial = {name[8:]: value for name, value in tensors.items() if name.startswith("initial/")}
        if packed is None or packed.dtype != torch.uint8 or len(weights) + len(initial) != len(tensors):
            raise UserError(f"{where} holds tensors that no ticket has: it is not a ticket")
        try:
            mask = masks.unpacked(packed.numpy().tobytes(), mask_shapes)
            spec = None if facts["spec"] is None else RunSpec.from_dict(facts["spec"])
        except UserError as error:
            raise UserError(f"the ticket in {folder} cannot be used: {error}") from None
        ticket = Ticket(mask, weights, initial, facts["sparsity"]["nominal"], facts["recipe"], facts["network"], spec)
        _check(ticket, where)
        if ticket.digest() != facts["digest"]:
            raise UserError(f"{where} does not have the digest that {FACTS} states: one of the two was changed")
        return ticket


def write(path: Path, content: bytes) -> None:
    """Write a file in one step: whoever reads it sees all of it or none."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # a full disk names no file
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_facts(folder: Path) -> dict[str, Any]:
    """ticket.json, checked for schema, keys and types."""
    where = folder / FACTS
    try:
        facts = read_json(where, largest=LARGEST_HEADER)
    except UserError as error:
        raise UserError(f"there is no ticket in {folder}, which needs both of its files: {error}") from None
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        found = facts.get("schema") if isinstance(facts, dict) else None
        raise UserError(f"{where} has schema {found!r} and this version reads {SCHEMA}: find the ticket again")
    kinds: dict[str, Any] = {
        "recipe": str,
        "network": str,
        "digest": str,
        "sparsity": dict,
        "mask": dict,
        "spec": (dict, type(None)),
    }
    for key, kind in kinds.items():
        if not isinstance(facts.get(key, ...), kind):
            raise UserError(f"{where}: the key {key!r} is missing or of a wrong type: it is damaged or not a ticket")
    nominal = facts["sparsity"].get("nominal")
    if isinstance(nominal, bool) or not isinstance(nominal, (int, float)) or not 0 <= nominal < 1:
        raise UserError(f"{where}: the nominal sparsity must be in [0, 1), not {nominal!r}")
    return facts


def _shapes(facts: dict[str, Any], where: Path) -> dict[str, tuple[int, ...]]:
    for name, shape in facts["mask"].items():
        sizes = shape if isinstance(shape, list) else [None]
        if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 or n >= 2**40 for n in sizes):
            raise UserError(f"{where}: the mask of {name!r} has the shape {shape!r}: it is damaged or not a ticket")
    return {name: tuple(shape) for name, shape in facts["mask"].items()}


def _read_tensors(where: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file whose header, names, types and sizes agree with the file."""
    damaged = f"{where} is not a safetensors file or is damaged"
    if not where.is_file():
        raise UserError(f"there is no ticket: {where} is missing or no file")
    try:
        size = where.stat().st_size
        with where.open("rb") as file:
            header_size = int.from_bytes(file.read(8), "little")
            if size < 8 or header_size > min(size - 8, LARGEST_HEADER):
                raise UserError(f"{damaged}: its header would have {header_size} bytes")
            header = json.loads(file.read(header_size))
    except OSError as error:
        raise UserError(f"{where} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{damaged}: its header is not JSON") from None
    names = [name for name in header if name != "__metadata__"] if isinstance(header, dict) else []
    expected = 0
    for name in names:
        entry = header[name] if isinstance(header[name], dict) else {}
        dtype, shape = entry.get("dtype"), entry.get("shape")
        if dtype not in DTYPES or not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
            raise UserError(f"{damaged}: the tensor {name!r} has type {dtype!r} and shape {shape!r}")
        expected += DTYPES[dtype] * math.prod(shape)
    if expected != size - 8 - header_size:
        raise UserError(f"{damaged}: its tensors take {expected} bytes and it holds {size - 8 - header_size}")
    try:
        with safe_open(where, framework="pt") as file:
            return {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (not a dictionary)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{damaged}: {error}") from None


def _check(ticket: Ticket, where: Path) -> None:
    """Names, shapes and types agree; nothing diverged; pruned weights are exactly 0."""
    if ticket.weights.keys() != ticket.initial.keys():
        odd = sorted(ticket.weights.keys() ^ ticket.initial.keys())
        raise UserError(f"{where}: {', '.join(odd)} is in only one of weights and initial weights")
    for name, weight in ticket.weights.items():
        start = ticket.initial[name]
        if weight.shape != start.shape or weight.dtype != start.dtype:
            raise UserError(f"{where}: {name!r} has one shape or type after training and another at initialisation")
        if not _sound(weight, start, name in ticket.mask):
            raise UserError(f"{where}: {name!r} holds values that are not finite")
    for name, kept in ticket.mask.items():
        if name not in ticket.weights or ticket.weights[name].shape != kept.shape:
            raise UserError(f"{where}: the mask of {name!r} has no weights of its shape {tuple(kept.shape)}")
        if bool(ticket.weights[name][~kept].count_nonzero()):
            raise UserError(f"{where}: {name!r} holds pruned weights that are not 0")


def _sound(weight: Tensor, start: Tensor, masked: bool) -> bool:
    """Finite; or an infinity that training cannot have made, as in a causal mask: there from the start, no bit moved.

    Nothing here knows which tensors are buffers, so that the bits have to tell.
    """
    if bool(torch.isfinite(weight).all()) and bool(torch.isfinite(start).all()):
        return True
    before, after = (value.contiguous().reshape(-1).view(torch.uint8) for value in (start, weight))
    return not masked and not bool(torch.isnan(start).any()) and torch.equal(before, after)
