"""What a variant claims: three decorators that attach a frozen declaration to a plain function, and nothing else.

A declaration is read by :func:`unilth.sims.invariants.check`. The decorated function is returned unchanged (it can be
called, pickled, wrapped and tested as before), and no list of variants is kept anywhere.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from unilth.errors import UserError

ATTRIBUTE = "__unilth_claims__"
SCOPES = ("global", "layer", "other")
KEEPS = ("largest", "random", "other")
ABILITIES = ("dropout", "tied", "frozen", "bfloat16", "optimizer-state")
MOST_STEPS = 10**15
"""More than anybody trains; steps far behind the last one still fit 64 bits."""

Target = TypeVar("Target", bound=Callable[..., Any])


def _one_of(argument: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"{argument}={value!r} is not known; use one of {', '.join(map(repr, allowed))}")


@dataclass(frozen=True)
class MaskRule:
    """A mask rule ``rule(scores, sparsity, *, within=None, generator=None) -> dict[str, BoolTensor]``, True = kept.

    Attributes:
        scope: where the pruned count floor(sparsity x n) is taken: over all layers, in each layer, or otherwise (then
            no count is judged, unless ``adds_up``).
        keeps: the largest scores, weights drawn at random through ``generator`` (each with the same chance; with
            ``scope="other"`` in its layer), or something else.
        adds_up: with ``scope="other"``: the layers' budgets add up to floor(sparsity x n) over all layers.
        nested: a larger sparsity only takes weights away; None means "where it follows from scope and keeps".
    """

    kind: ClassVar[str] = "mask-rule"
    scope: str
    keeps: str
    adds_up: bool = False
    nested: bool | None = None

    def __post_init__(self) -> None:
        _one_of("scope", self.scope, SCOPES)
        _one_of("keeps", self.keeps, KEEPS)

    @property
    def ranks(self) -> bool:
        """Whether scope and keeps together fix the mask wherever scores are distinct."""
        return self.scope != "other" and self.keeps == "largest"

    @property
    def claims_nested(self) -> bool:
        """Whether masks at growing sparsity are claimed to be nested."""
        return self.ranks if self.nested is None else self.nested


@dataclass(frozen=True)
class PenaltySchedule:
    """A penalty schedule ``schedule(step) -> float``: rises to ``ceiling`` within ``steps`` steps and stays there."""

    kind: ClassVar[str] = "penalty-schedule"
    ceiling: float
    steps: int

    def __post_init__(self) -> None:
        number = isinstance(self.ceiling, int | float) and not isinstance(self.ceiling, bool)
        if not (number and 0 <= self.ceiling <= sys.float_info.max):
            raise UserError(f"ceiling={self.ceiling!r} must be a finite number that is at least 0")
        if not (isinstance(self.steps, int) and not isinstance(self.steps, bool) and 1 <= self.steps <= MOST_STEPS):
            raise UserError(f"steps={self.steps!r} must be a whole number of steps, at least 1 and at most 10**15")


@dataclass(frozen=True)
class TicketFinder:
    """A ticket finder ``find(network, data, sparsity, *, seed)`` -> object with ``.mask``, ``.weights``, ``.initial``.

    Attributes:
        rewinds: the final training starts again from the initial values of the kept weights and of everything else,
            with an optimizer that holds nothing of earlier training; "weights" claims it for the kept weights only.
        keeps: "largest": kept weights were the largest in magnitude in a state that the network had, when the mask was
            taken (an average of states is "other"); "random"; or "other".
        scope: as for a mask rule; "other" leaves the layers' shares free, the total count is judged all the same.
        handles: abilities beyond the universal ones, any of "dropout", "tied", "frozen", "bfloat16" and
            "optimizer-state" (momentum is 0 under the mask).
        stops_early: patience in epochs of early stopping on the validation loss, best weights restored; or None. It
            is the first training that stops, and it counts from its first epoch on, by the loss over the whole split.
            Judged where training minimises cross-entropy, whose value on the split is then the loss that is meant.
        nested: the masks of the rounds, ``.masks`` of the result, only ever lose weights.
        penalty: the schedule (step -> lambda) by which an L2 penalty presses on the weights that go, and on no other;
            in rounds, by their ``.masks``, each from the beginning or going on.
        no_empty_layer: every layer keeps at least one weight.
    """

    kind: ClassVar[str] = "ticket-finder"
    rewinds: bool | str = False
    keeps: str = "other"
    scope: str = "other"
    handles: frozenset[str] = frozenset()
    stops_early: int | None = None
    nested: bool = False
    penalty: Callable[[int], float] | None = None
    no_empty_layer: bool = False

    def __post_init__(self) -> None:
        _one_of("keeps", self.keeps, KEEPS)
        _one_of("scope", self.scope, SCOPES)
        if self.rewinds not in (True, False, "weights"):
            raise UserError(f'rewinds={self.rewinds!r} is not known; use True, False or "weights"')
        for ability in self.handles:
            _one_of("handles", ability, ABILITIES)
        if self.stops_early is not None and not (isinstance(self.stops_early, int) and self.stops_early >= 1):
            raise UserError(
                f"stops_early={self.stops_early!r} must be a patience of at least 1 epoch, or None for no claim"
            )


Claims = MaskRule | PenaltySchedule | TicketFinder


def _attach(claims: Claims) -> Callable[[Target], Target]:
    def decorate(target: Target) -> Target:
        if not callable(target):
            raise UserError(f"{target!r} cannot be called; put the decorator on a function")
        try:
            setattr(target, ATTRIBUTE, claims)
        except AttributeError:  # a frozen dataclass with __call__, a builtin, a slotted object
            raise UserError(f"{target!r} takes no declaration; decorate a function that calls it") from None
        return target

    return decorate


def mask_rule(
    *, scope: str, keeps: str, adds_up: bool = False, nested: bool | None = None
) -> Callable[[Target], Target]:
    """Declare a mask rule; see :class:`MaskRule` for what each claim means. Raises UserError on an unknown claim."""
    return _attach(MaskRule(scope, keeps, adds_up, nested))


def penalty_schedule(*, ceiling: float, steps: int) -> Callable[[Target], Target]:
    """Declare a penalty schedule that reaches ``ceiling`` within ``steps`` steps. UserError if they are unusable."""
    return _attach(PenaltySchedule(ceiling, steps))


def ticket_finder(
    *,
    rewinds: bool | str = False,
    keeps: str = "other",
    scope: str = "other",
    handles: Iterable[str] = (),
    stops_early: int | None = None,
    nested: bool = False,
    penalty: Callable[[int], float] | None = None,
    no_empty_layer: bool = False,
) -> Callable[[Target], Target]:
    """Declare a ticket finder; see :class:`TicketFinder` for what each claim means. UserError on unknown ones."""
    claims = TicketFinder(rewinds, keeps, scope, frozenset(handles), stops_early, nested, penalty, no_empty_layer)
    return _attach(claims)


def claims_of(target: object) -> Claims | None:
    """The declaration attached to ``target``, or None."""
    found = said(target, ATTRIBUTE)
    return found if isinstance(found, MaskRule | PenaltySchedule | TicketFinder) else None


def said(target: object, name: str) -> Any:
    """An attribute, or None where there is none, or a proxy cannot tell now (there is no request, no connection)."""
    try:
        return getattr(target, name, None)
    except Exception:
        return None
