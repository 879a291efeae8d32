"""RunSpec: everything that determines one run. Imports no torch, so that a campaign can be read anywhere."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from unilth.errors import UserError


def closest(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'a' or 'b'?)`` where something known is close to ``word``, otherwise all that is known."""
    known = list(known)
    begun = [name for name in known if word and name.startswith(word.lower())]
    near = list(dict.fromkeys(begun + difflib.get_close_matches(word.lower(), known, n=3, cutoff=0.5)))[:3]
    if near:
        return f" (did you mean {' or '.join(repr(name) for name in near)}?)"
    return f" (known are {', '.join(known)})"


@dataclass(frozen=True)
class RunSpec:
    """One run: a recipe of the zoo, a network, data, and the numbers that go with them.

    ``epochs`` is the total budget and the same for every recipe: free training, penalty and fine-tuning together;
    ``tune`` is the share of it that fine-tunes the finished ticket. The fields from ``patience`` on replace a choice of
    the recipe's row in the zoo where they are given (``None`` leaves the row as it is); a recipe that does not have
    the choice refuses it. ``tune_l2`` is the L2 strength of the fine-tuning, where it is not that of the recipe's other
    phases. ``stop="last"`` is the recipe without its rule for stopping: free training has all epochs that it may have
    and ends with its last. ``examples`` trains on a part of the data. ``threads`` belongs to the spec because sums in
    another order end in other bits.
    """

    recipe: str
    network: str = "lenet-300-100"
    data: str = "digits"
    sparsity: float = 0.9
    seed: int = 0
    epochs: int = 60
    batch: int = 64
    lr: float = 0.1
    momentum: float = 0.9
    tune: float = 0.4
    threads: int = 1
    patience: int | None = None
    power: float | None = None
    ceiling: float | None = None
    l2: float | None = None
    rounds: int | None = None
    scope: str | None = None
    rewind: str | None = None
    l1: float | None = None
    score: str | None = None
    spare: bool | None = None
    control: str | None = None
    precision: str | None = None
    augment: str | None = None
    examples: int | None = None
    tune_l2: float | None = None
    stop: str | None = None

    def __post_init__(self) -> None:
        hints = get_type_hints(RunSpec)
        for field in dataclasses.fields(self):
            value = _typed(field.name, getattr(self, field.name), hints[field.name])
            object.__setattr__(self, field.name, value)
        ones = ("epochs", "batch", "threads", "patience", "rounds")
        for name, least in {"seed": 0, "examples": 10, **dict.fromkeys(ones, 1)}.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"{name} must be at least {least}, not {value}")
        for name, most in {
            "epochs": 10**6,
            "batch": 10**9,
            "threads": 1024,
            "patience": 10**6,
            "rounds": 10**4,
        }.items():
            value = getattr(self, name)
            if value is not None and value > most:
                raise UserError(f"{name} must be at most {most:,}, not {value}")
        if self.seed >= 2**63:
            raise UserError(f"seed must be below 2^63, not {self.seed}")
        for name in ("lr", "power", "ceiling", "l2", "l1"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1e30:  # weights are float32
                raise UserError(f"{name} must be positive and at most 1e30, not {value}")
        if self.tune_l2 is not None and not 0 <= self.tune_l2 <= 1e30:
            raise UserError(f"tune_l2 must be 0 (none) or positive, and at most 1e30, not {self.tune_l2}")
        if self.stop not in (None, "last"):
            raise UserError(
                f"stop must be 'last' (no stopping rule), not {self.stop!r}: leave it out for the recipe's own"
            )
        if self.stop and self.patience is not None:
            raise UserError(f"stop 'last' waits for no validation loss: leave patience {self.patience} out")
        if self.control not in (None, "shuffled", "reinitialised"):
            raise UserError(f"control must be 'shuffled' or 'reinitialised', not {self.control!r}")
        for name, known in {"precision": ("float32", "bfloat16"), "augment": ("none", "standard")}.items():
            value = getattr(self, name)
            if value not in (None, *known):
                raise UserError(f"{name} must be {' or '.join(map(repr, known))}, not {value!r}")
        for name in ("sparsity", "momentum", "tune"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise UserError(f"{name} must be in [0, 1), not {value}: give for example 0.9")

    def to_json(self) -> str:
        """Canonical JSON: one line, sorted keys, without what is None: a new choice leaves old texts alone."""
        given = {key: value for key, value in dataclasses.asdict(self).items() if value is not None}
        return json.dumps(given, sort_keys=True, allow_nan=False)

    @staticmethod
    def from_json(text: str | bytes) -> RunSpec:
        """The inverse of `to_json`; UserError names an unknown key and what is close to it, or a wrong type."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"a run spec must be JSON: {error}") from None
        return RunSpec.from_dict(values)

    @staticmethod
    def from_dict(values: Any) -> RunSpec:
        """A spec from the dictionary that a campaign or record holds; checked like `from_json`."""
        if not isinstance(values, dict):
            raise UserError(f"a run spec must be a JSON object, not {type(values).__name__}")
        names = [field.name for field in dataclasses.fields(RunSpec)]
        for key in values:
            if key not in names:
                raise UserError(f"a run spec has no key {key!r}{closest(str(key), names)}")
        if "recipe" not in values:
            raise UserError("a run spec needs the key 'recipe'")
        return RunSpec(**values)

    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def _typed(name: str, value: Any, hint: Any) -> Any:
    """``value`` as one of the types of ``hint`` (a whole number is accepted as float), or UserError."""
    kinds = get_args(hint) or (hint,)
    if value is None and type(None) in kinds:
        return None
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**53 else math.inf
    if type(value) not in kinds:
        wanted = " or ".join(kind.__name__ for kind in kinds if kind is not type(None))
        raise UserError(f"{name} must be {wanted}, not {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{name} must be finite, not {value!r}")
    return value + 0.0 if isinstance(value, float) else value  # -0.0 and 0.0 are one spec
