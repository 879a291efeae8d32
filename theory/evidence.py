"""What a theorem is, what counts as evidence for it, and how it is made slightly false on purpose.

A theorem's check receives a `Statement` (the claimed constants and the hypotheses in force) and answers with evidence
about *that* statement. The true theorem, its near miss and every mutation go through the same check, so a check that
cannot fail is found out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from fractions import Fraction


class Level(Enum):
    """How strong a piece of evidence is, strongest first. Only the first three prove anything."""

    SYMBOLIC = "symbolic"  # SymPy or exact rationals: the residual is 0 under the declared assumptions
    CERTIFIED = "certified"  # balls cover the whole claimed domain, tails by an elementary inequality
    EXHAUSTIVE = "exhaustive"  # every element of a stated finite set
    PROPERTY = "property"  # n random cases
    SIMULATED = "simulated"  # numerical, with its error

    @property
    def proves(self) -> bool:
        return self in (Level.SYMBOLIC, Level.CERTIFIED, Level.EXHAUSTIVE)

    @property
    def rank(self) -> int:
        """0 for the strongest."""
        return list(Level).index(self)


@dataclass(frozen=True)
class Evidence:
    """The outcome of one check.

    `holds` is True (shown), False (refuted: `detail` has the counterexample) or None (undecided: the check ran out of
    precision or budget). `scope` says what exactly was covered. `constants` maps a name of the catalogue's table 0 to a
    certified bracket of decimal strings, lower then upper.
    """

    what: str
    level: Level
    holds: bool | None
    scope: str
    detail: str = ""
    constants: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # NumPy's and SymPy's falsehoods equal False without being it: the ledger's `is False` would let them pass
        if not any(self.holds is verdict for verdict in (True, False, None)):
            kind = type(self.holds).__name__
            raise TypeError(f"Evidence.holds is {self.holds!r} ({kind}); give True, False or None (undecided)")
        object.__setattr__(self, "constants", dict(self.constants))  # evidence travels between processes


@dataclass(frozen=True)
class Statement:
    """What a check is asked about: the claimed constants (decimal or rational strings) and the hypotheses in force."""

    constants: Mapping[str, str]
    assumptions: frozenset[str]

    def value(self, name: str) -> str:
        """The claimed constant as written."""
        return self.constants[name]

    def exact(self, name: str) -> Fraction:
        """The claimed constant as an exact rational: of the digits as written, not of the real number they round."""
        return Fraction(self.constants[name])

    def assumes(self, name: str) -> bool:
        return name in self.assumptions

    def moved(self, name: str, by: str) -> Statement:
        """The same statement with one constant moved by the exact decimal `by`, with as many digits as before."""
        value = self.constants[name]
        moved = Fraction(value) + Fraction(by)
        if "/" in value or "." not in value:
            text = str(moved)
        else:
            digits = max(len(value.partition(".")[2]), 9)
            scaled = round(moved * 10**digits)
            sign, scaled = ("-" if scaled < 0 else ""), abs(scaled)
            text = f"{sign}{scaled // 10**digits}.{scaled % 10**digits:0{digits}d}"
        return replace(self, constants={**self.constants, name: text})

    def without(self, name: str) -> Statement:
        """The same statement with one hypothesis dropped: it now claims more."""
        if name not in self.assumptions:
            raise KeyError(name)
        return replace(self, assumptions=self.assumptions - {name})


@dataclass(frozen=True)
class Move:
    """Near miss: one constant moved."""

    constant: str
    by: str = "1e-6"

    def __call__(self, statement: Statement) -> Statement:
        return statement.moved(self.constant, self.by)

    def __str__(self) -> str:
        return f"{self.constant} moved by {self.by}"


@dataclass(frozen=True)
class Drop:
    """Near miss: one hypothesis dropped."""

    assumption: str

    def __call__(self, statement: Statement) -> Statement:
        return statement.without(self.assumption)

    def __str__(self) -> str:
        return f"without the hypothesis '{self.assumption}'"


@dataclass(frozen=True)
class Witness:
    """A concrete instance that meets the hypotheses: `met` maps every assumption's id to whether it was verified."""

    instance: str
    met: Mapping[str, bool]


@dataclass(frozen=True)
class Theorem:
    """One statement of the catalogue with everything needed to check it again.

    `statement` is LaTeX. `assumptions` maps a short id to its text. `constants` maps a name to the claimed value (a
    decimal string that claims its last digit to one unit, or a rational string that claims equality). `bound` is
    "identity", "tight", "upper", "lower" or "counterexample". `check` must judge any `Statement` with the same names.
    """

    id: str
    catalogue: str
    title: str
    statement: str
    source: str
    bound: str
    proof: str
    check: Callable[[Statement], Sequence[Evidence]]
    near_miss: Move | Drop
    witness: Callable[[], Witness]
    assumptions: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.bound not in ("identity", "tight", "upper", "lower", "counterexample"):
            raise ValueError(
                f"theorem {self.id}: bound is {self.bound!r}; use identity, tight, upper, lower or counterexample"
            )
        try:
            self.near_miss(self.claim)
        except KeyError as missing:
            raise ValueError(
                f"theorem {self.id}: the near miss ({self.near_miss}) names {missing}, which the theorem does not have"
            ) from None
        if not self.source or not self.proof:
            raise ValueError(
                f"theorem {self.id}: source and proof must not be empty (write 'not found in the literature')"
            )

    @property
    def claim(self) -> Statement:
        """The statement as claimed."""
        return Statement(dict(self.constants), frozenset(self.assumptions))

    def mutations(self) -> Iterator[Move | Drop]:
        """Every mutation that the check must reject: each constant moved by 1e-6 both ways, each hypothesis dropped."""
        for name in self.constants:
            yield Move(name, "1e-6")
            yield Move(name, "-1e-6")
        for name in self.assumptions:
            yield Drop(name)
