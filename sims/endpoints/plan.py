"""What a study of end points measures and how much of it. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from unilth.errors import UserError

LEAST = {
    "seeds": 2, "examples": 20, "pairs": 1, "iterations": 1, "stop": 1, "mask_epochs": 3, "epochs": 10, "splits": 2,
    "probes": 2,
}  # fmt: skip
MOST = {"seeds": 1000, "pairs": 1000}  # Lanczos keeps two vectors of the size of the parameters per pair

PARTS = ("ladder", "curvature", "section7", "distances", "winners")  # of a record


@dataclass(frozen=True)
class Plan:
    """The choices of one study; every number is in the record.

    ``seeds`` of section 7 and of the distances; the first ``examples`` training examples carry the ladder and every
    curvature, ``pairs`` eigenpairs each and ``iterations`` of L-BFGS; ``ramps``, ``stop`` and ``mask_epochs`` are
    epochs of section 7, ``epochs`` those of every end point; ``splits`` of the regressions; ``probes`` of a trace;
    ``part`` trains on so many of the data's examples, ``test_part`` tests on the first so many of the test's; ``only``
    names the parts of a record that are measured.
    """

    network: str = "lenet-300-100"
    data: str = "digits"
    seeds: int = 5
    examples: int = 100
    pairs: int = 8
    iterations: int = 100
    ramps: tuple[int, ...] = (1, 4, 16)
    stop: int = 8
    mask_epochs: int = 12
    epochs: int = 60
    splits: int = 20
    probes: int = 10
    part: int | None = None
    test_part: int | None = None
    only: tuple[str, ...] = PARTS

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}: give at least {least}")
        for name, most in MOST.items():
            if getattr(self, name) > most:
                raise UserError(f"{name} is {getattr(self, name)}: give at most {most}")
        if len(self.ramps) < 2 or sorted(set(self.ramps)) != list(self.ramps) or self.ramps[0] < 1:
            raise UserError(f"ramps is {self.ramps}: give at least two growing numbers of epochs")
        if self.part is not None and self.part < 50:
            raise UserError(f"part is {self.part}: give at least 50 examples to train on")
        if self.test_part is not None and self.test_part < 1:
            raise UserError(f"test_part is {self.test_part}: give at least 1 example to test on")
        if not self.only or not set(self.only) <= set(PARTS):
            raise UserError(f"only is {self.only}: give one or more of {', '.join(PARTS)}")


QUICK = Plan(
    seeds=2, examples=40, pairs=4, iterations=50, ramps=(1, 2), stop=1, mask_epochs=3, epochs=10, splits=4, probes=4
)
