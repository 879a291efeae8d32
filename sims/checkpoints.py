"""Checkpoints: what an interrupted run needs to go on and end with the same bits, in one safetensors file.

A checkpoint is a tree of plain values and tensors. The file holds the tensors, the tree as JSON and digests of both; it
is replaced in one step, so a process that dies while writing leaves the one before. It may come from anywhere: nothing
in it is executed, and one that is damaged or of another run is passed over, with a sentence that says so.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor

from unilth.errors import UserError
from unilth.sims.checkpoint_trees import misfit
from unilth.sims.whole import write

FILE = "checkpoint.safetensors"
SCHEMA = 1
SECONDS = 30.0  # between two checkpoints, so that writing costs next to nothing
# what a tree that does not fit raises
REFUSED = (KeyError, IndexError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError)

Tree = dict[str, Any]


class Checkpoint:
    """The checkpoint of one run at ``path``.

    ``identity`` is what must agree for the run to go on where it was: spec, code, libraries, data, initial weights. A
    checkpoint is due ``seconds`` after the start or the last one. With ``hold`` the last tree between two is held in
    memory, so that whoever is interrupted by Ctrl-C can still write it (`keep`). ``say`` gets a sentence where a
    checkpoint is passed over or cannot be written.
    """

    def __init__(
        self, path: Path, identity: Mapping[str, str], *, seconds: float = SECONDS,
        hold: bool = False, say: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        self.path, self.identity, self.seconds, self.hold = path, dict(identity), seconds, hold
        self.say = say or (lambda sentence: None)
        self.last = monotonic()
        self.held: Tree | None = None

    def due(self) -> bool:
        """Whether it is time for the next one."""
        return monotonic() - self.last >= self.seconds

    def note(self, tree: Callable[[], Tree]) -> None:
        """Write the tree that ``tree`` makes where that is due, otherwise hold a copy of it where that is asked for."""
        if self.due():
            self.write(tree())
        elif self.hold:
            self.held = _copied(tree())

    def keep(self) -> None:
        """Write what is held, if anything was noted since the last checkpoint."""
        if self.held is not None:
            self.write(self.held, without="what was done since the last one is lost")

    def write(self, tree: Tree, without: str = "the run goes on without it") -> None:
        """Replace the file. Where that fails (a full disk), the run is worth more than its checkpoint and goes on."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write(self.path, packed({"schema": SCHEMA, "identity": self.identity, "tree": tree}))
        except OSError as error:
            self.say(f"the checkpoint {self.path} cannot be written ({error.strerror}); {without}")
        self.last, self.held = monotonic(), None

    def read(self) -> Tree | None:
        """The tree, or None where there is no checkpoint or none that can be used, which is said.

        UserError for one of the same run on other data, as going on would cost what was trained there, and for one
        that contradicts itself.
        """
        try:
            content = _content(self.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            return self._none(f"cannot be read ({error.strerror})")
        tree = None if content is None else unpacked(content)
        if not isinstance(tree, dict) or not isinstance(tree.get("identity"), dict):
            return self._none("is damaged or not a checkpoint")
        if tree.get("schema") != SCHEMA or not isinstance(tree.get("tree"), dict):
            return self._none("is from another version of unilth")
        odd = [name for name, value in self.identity.items() if tree["identity"].get(name) != value]
        if "data" in odd and "spec" not in odd:
            raise UserError(
                f"the checkpoint {self.path} is of this run on other data: give another folder, or remove the "
                "checkpoint to give that run up"
            )
        if odd:
            return self._none(f"is of another run (other {', '.join(odd)})")
        why = misfit(tree["tree"])
        if why:  # made by hand, as nothing else passes the digests: not ours to train over
            raise UserError(f"the checkpoint {self.path} does not fit its run ({why}): remove it")
        return dict(tree["tree"])

    def remove(self) -> None:
        """The run is over."""
        self.held = None
        self.path.unlink(missing_ok=True)

    def _none(self, why: str) -> Tree | None:
        self.say(f"the checkpoint {self.path} {why}: the run starts from the beginning")
        return None


def spec_of(path: Path) -> str | None:
    """The digest of the spec whose run wrote a checkpoint; None where there is no checkpoint that could be used."""
    try:
        content = _content(path)
    except OSError:
        return None
    tree = None if content is None else unpacked(content)
    if not isinstance(tree, dict) or tree.get("schema") != SCHEMA or not isinstance(tree.get("identity"), dict):
        return None
    return tree["identity"].get("spec")


def packed(tree: Any) -> bytes:
    """A tree of dictionaries (text keys), lists, numbers, text, None and tensors as a safetensors file.

    Tuples come back as lists. TypeError names whatever else is in the tree.
    """
    tensors: dict[str, Tensor] = {}
    plain = _plain(tree, tensors)
    digests = {name: _digest(tensor) for name, tensor in tensors.items()}
    facts = json.dumps({"tree": plain, "digests": digests}, allow_nan=False).encode()
    heads = {"facts": facts, "facts digest": hashlib.sha256(facts).digest()}
    return bytes(to_safetensors(tensors | {name: _bytes(value) for name, value in heads.items()}))


def unpacked(content: bytes) -> Any:
    """The inverse of `packed`; None for a file that is damaged or something else."""
    try:
        tensors = from_safetensors(content)
        facts, digest = (tensors.pop(name).numpy().tobytes() for name in ("facts", "facts digest"))
        if hashlib.sha256(facts).digest() != digest:
            return None
        known = json.loads(facts)
        if known["digests"] != {name: _digest(tensor) for name, tensor in tensors.items()}:
            return None
        return _tree(known["tree"], tensors)
    except (SafetensorError, RecursionError, *REFUSED):
        return None


def _copied(value: Any) -> Any:
    """A tree that nobody else holds a part of, on the CPU: a GPU's memory is the run's."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list | tuple) else value


def _plain(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON, with its tensors moved to ``tensors``."""
    if isinstance(value, Tensor):
        name = f"{len(tensors):05d}"
        tensors[name] = value.detach().cpu().contiguous().clone()  # a clone, because tied weights share memory
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"dict": {_text(key): _plain(item, tensors) for key, item in value.items()}}
    if isinstance(value, list | tuple):
        return [_plain(item, tensors) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")


def _text(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a checkpoint cannot hold a dictionary with the key {key!r}")
    return key


def _tree(plain: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `_plain`."""
    if isinstance(plain, list):
        return [_tree(item, tensors) for item in plain]
    if not isinstance(plain, dict):
        return plain
    ((kind, held),) = plain.items()
    if kind == "tensor":
        return tensors[held]
    return float(held) if kind == "float" else {key: _tree(item, tensors) for key, item in held.items()}


def _bytes(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _digest(tensor: Tensor) -> str:
    state = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
    state.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return state.hexdigest()


def _content(path: Path) -> bytes | None:
    """All of a regular file, None for anything else (a pipe would block for ever)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        return file.read() if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


@functools.cache
def code_digest() -> str:
    """SHA-256 (hex) of the source that decides how a run goes on: a version alone does not see a local change."""
    here, state = Path(__file__).parent, hashlib.sha256()
    for path in sorted([*here.glob("*.py"), *here.glob("data/*.py"), *here.glob("networks/*.py")]):
        state.update(f"{path.relative_to(here)}\0".encode() + path.read_bytes())
    return state.hexdigest()
