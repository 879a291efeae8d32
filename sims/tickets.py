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
import reprlib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from safetensors import SafetensorError, deserialize
from safetensors.torch import save as to_safetensors
from torch import Tensor

from unilth.errors import UserError
from unilth.sims import masks
from unilth.sims.bits import finite, plain, same_bits
from unilth.sims.masks import Mask
from unilth.sims.records import read_json
from unilth.sims.spec import RunSpec
from unilth.sims.whole import write

SCHEMA = 1
TENSORS, FACTS = "ticket.safetensors", "ticket.json"
LARGEST_HEADER = 16 << 20  # bytes; a header lists names and shapes only
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E4M3FNUZ": torch.float8_e4m3fnuz, "F8_E5M2": torch.float8_e5m2,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz, "F8_E8M0": torch.float8_e8m0fnu, "I64": torch.int64, "I32": torch.int32,
    "I16": torch.int16, "I8": torch.int8, "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = 60


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
        """Read a ticket from its folder or from its ticket.safetensors; UserError names what is wrong with it.

        Whether the mask prunes what its recipe would is not asked here: `unilth check` does.
        """
        folder = Path(path)
        folder = folder if os.path.isdir(folder) else folder.parent
        facts = read_facts(folder)
        where = folder / TENSORS
        tensors = read_tensors(where)
        packed = tensors.pop("mask", None)
        weights = {name[8:]: value for name, value in tensors.items() if name.startswith("weights/")}
        initial = {name[8:]: value for name, value in tensors.items() if name.startswith("initial/")}
        if packed is None or packed.dtype != torch.uint8 or packed.dim() != 1 or not weights:
            raise UserError(f"{where} has no weights or no mask in one row of bytes: it is not a ticket")
        if len(weights) + len(initial) != len(tensors):
            odd = [short(name) for name in tensors if not name.startswith(("weights/", "initial/"))]
            raise UserError(f"{where} holds tensors that no ticket has ({listed(odd)}): it is not a ticket")
        try:
            mask = masks.unpacked(packed.numpy().tobytes(), {name: tuple(n) for name, n in facts["mask"].items()})
        except UserError as error:
            raise UserError(f"the ticket in {folder} cannot be used: {error}") from None
        spec = None if facts["spec"] is None else RunSpec.from_dict(facts["spec"])
        ticket = Ticket(mask, weights, initial, facts["sparsity"]["nominal"], facts["recipe"], facts["network"], spec)
        _check(ticket, where)
        _check_facts(ticket, facts, folder / FACTS)
        if ticket.digest() != facts["digest"]:
            raise UserError(f"{where} does not have the digest that {FACTS} states: one of the two was changed")
        return ticket


def short(value: Any) -> str:
    """How a message shows what a file states: in part where it is long, and escaped, as a terminal obeys some texts."""
    text = SHORT.repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def listed(texts: list[str]) -> str:
    """The first three, and how many more there are."""
    return ", ".join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")


def read_facts(folder: Path) -> dict[str, Any]:
    """ticket.json, checked for schema, keys and types; its spec is one."""
    where = folder / FACTS
    try:
        facts = read_json(where, largest=LARGEST_HEADER)
    except UserError as error:
        raise UserError(f"there is no ticket in {folder}, which needs both of its files: {error}") from None
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        found = facts.get("schema") if isinstance(facts, dict) else None
        raise UserError(f"{where} has schema {short(found)} and this version reads {SCHEMA}: find the ticket again")
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
        raise UserError(f"{where}: the nominal sparsity must be in [0, 1), not {short(nominal)}")
    for name, shape in facts["mask"].items():
        if not is_shape(shape):
            raise UserError(
                f"{where}: the mask of {short(name)} has the shape {short(shape)}: it is damaged or not a ticket"
            )
    try:
        if facts["spec"] is not None:
            RunSpec.from_dict(facts["spec"])
    except (UserError, RecursionError) as error:
        text = str(error)
        text = text if len(text) <= 200 else f"{text[:197]}..."
        raise UserError(f"the ticket in {folder} cannot be used: {text}") from None
    return facts


def is_shape(shape: Any) -> TypeGuard[list[int]]:
    """Whether a file states a shape that a tensor can have: a product of more sizes would take for ever."""
    if not isinstance(shape, list) or len(shape) > 64 or not all(type(n) is int and 0 <= n < 2**40 for n in shape):
        return False
    return math.prod(max(n, 1) for n in shape) < 2**62


def read_tensors(where: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file whose header, names, types and sizes agree with the file.

    The library gets the bytes and not the path: it takes no name that is not UTF-8.
    """
    damaged = f"{where} is not a safetensors file or is damaged"
    if not os.path.exists(where):  # unlike Path's own this takes names that no file can have
        raise UserError(f"there is no ticket: {where} is missing or no file")
    try:
        if not stat.S_ISREG(os.stat(where).st_mode):  # a pipe would block for ever, a device never end
            raise UserError(f"{where} is no regular file: copy the ticket into one")
        with open(os.open(where, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            header_size = int.from_bytes(file.read(8), "little")
            if size < 8 or header_size > min(size - 8, LARGEST_HEADER):
                raise UserError(f"{damaged}: its header would have {header_size} bytes")
            _check_header(file.read(header_size), size - 8 - header_size, where, damaged)
            file.seek(0)
            content = file.read(size)
        return {name: _tensor(entry) for name, entry in deserialize(content)}
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{where} cannot be read: {error.strerror}") from None
    except MemoryError:
        raise UserError(f"{where} holds {size:,} bytes, which is more than there is memory") from None
    except (SafetensorError, ValueError, RuntimeError, KeyError) as error:
        raise UserError(f"{damaged}: {short(str(error))}") from None


def _check_header(text: bytes, room: int, where: Path, damaged: str) -> None:
    """UserError unless it lists tensors that together take ``room`` bytes."""
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise UserError(f"{damaged}: its header is not JSON") from None
    expected = 0
    for name in header if isinstance(header, dict) else ():
        if name == "__metadata__":
            continue
        entry = header[name] if isinstance(header[name], dict) else {}
        dtype, shape = entry.get("dtype"), entry.get("shape")
        if not isinstance(dtype, str) or not is_shape(shape):
            raise UserError(f"{damaged}: the tensor {short(name)} has type {short(dtype)} and shape {short(shape)}")
        if dtype not in DTYPES:
            raise UserError(
                f"{where}: the tensor {short(name)} has the type {short(dtype)}: save it in one that tickets have"
            )
        expected += DTYPES[dtype].itemsize * math.prod(shape)
    if expected != room:
        raise UserError(f"{damaged}: its tensors take {expected} bytes and it holds {room}")


def _tensor(entry: dict[str, Any]) -> Tensor:
    dtype, shape, data = DTYPES[entry["dtype"]], entry["shape"], entry["data"]
    return torch.frombuffer(data, dtype=dtype).reshape(shape) if len(data) else torch.empty(shape, dtype=dtype)


def _check(ticket: Ticket, where: Path) -> None:
    """Names, shapes and types agree; nothing diverged; pruned weights are exactly 0."""
    if ticket.weights.keys() != ticket.initial.keys():
        odd = [short(name) for name in sorted(ticket.weights.keys() ^ ticket.initial.keys())]
        raise UserError(f"{where} has only weights or only initial weights of {listed(odd)}: it is not a ticket")
    for name, weight in ticket.weights.items():
        start = ticket.initial[name]
        if weight.shape != start.shape or weight.dtype != start.dtype:
            raise UserError(
                f"{where}: {short(name)} has one shape or type after training and another at initialisation"
            )
        if not _sound(weight, start, name in ticket.mask):
            raise UserError(f"{where}: {short(name)} holds values that are not finite")
    for name, kept in ticket.mask.items():
        if name not in ticket.weights or ticket.weights[name].shape != kept.shape:
            raise UserError(
                f"{where}: the mask of {short(name)} has no weights of its shape {short(tuple(kept.shape))}"
            )
        if not ticket.weights[name].is_floating_point():
            raise UserError(f"{where}: {short(name)} is masked and of {ticket.weights[name].dtype}, which is no float")
        if bool(plain(ticket.weights[name])[~kept.reshape(-1)].count_nonzero()):
            raise UserError(f"{where}: {short(name)} holds pruned weights that are not 0")


def _check_facts(ticket: Ticket, facts: dict[str, Any], where: Path) -> None:
    """The counted sparsity is that of the mask, and the spec is of the same recipe, network and sparsity."""
    counted, found = facts["sparsity"].get("counted"), masks.sparsity_of(ticket.mask)
    if isinstance(counted, bool) or counted != found:
        raise UserError(f"{where} counts a sparsity of {short(counted)} and its mask has {found}: one was changed")
    for key in ("recipe", "network", "sparsity") if ticket.spec else ():
        stated, meant = getattr(ticket, key), getattr(ticket.spec, key)
        if stated != meant:
            raise UserError(f"{where} has the {key} {short(stated)} and its spec {short(meant)}: one was changed")


def _sound(weight: Tensor, start: Tensor, masked: bool) -> bool:
    """Finite; or an infinity that training cannot have made, as in a causal mask: there from the start, no bit moved.

    Nothing here knows which tensors are buffers, so that the bits have to tell.
    """
    if finite(start) and finite(weight):
        return True
    return not masked and not bool(torch.isnan(plain(start)).any()) and same_bits(start, weight)
