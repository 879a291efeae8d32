"""Searching small cases with Hypothesis, used as a library: what it finds is already shrunk."""

from __future__ import annotations

import random
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unilth.errors import UserError
from unilth.sims.invariants.globals import global_state
from unilth.sims.invariants.invariant import ENDS, Case, Invariant, NotJudged, Subject, Violation, fail, raised

PATIENCE_SECONDS = {"quick": 1.0, "standard": 3.0, "thorough": 30.0}
"""A slow target is searched less: beyond this no further examples are tried for one invariant."""


LIBRARIES = ("torch", "numpy", "hypothesis", "safetensors", "sklearn")
"""What the kit itself calls."""


def judge(invariant: Invariant, subject: Subject, case: Case) -> None:
    """Check one case; each starts from one state of the global generators, so a target that reads them replays too."""
    with global_state(0):
        try:
            invariant.check(subject, case)
        except (Violation, NotJudged, UserError, *ENDS):
            raise
        except BaseException as error:  # an answer may raise as late as when it is read: in __float__, __iter__, shape
            if not _of_the_target(error):
                raise
            fail(got=f"an answer that {raised(error)} when it is read", expected="an answer that can be read")


def _of_the_target(error: BaseException) -> bool:
    """Whether code that is neither ours nor a library's was running, called by ours, when this was raised."""
    frames = [
        frame.f_globals.get("__name__", "").partition(".")[0] for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    ours = max(at for at, name in enumerate(frames) if name == "unilth")  # the first is ours: it caught this
    return any(name not in LIBRARIES and name not in sys.stdlib_module_names for name in frames[ours + 1 :])


def violated(invariant: Invariant, subject: Subject, case: Case) -> bool:
    """Whether this case violates the invariant."""
    try:
        judge(invariant, subject, case)
    except Violation:
        return True
    return False


@contextmanager
def _storage_elsewhere() -> Iterator[None]:
    """Hypothesis caches in ``.hypothesis`` where it was imported; that folder is the user's, and so is his choice."""
    from hypothesis import configuration

    before = getattr(configuration, "__hypothesis_home_directory", None)
    configuration.set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "unilth-hypothesis")
    try:
        yield
    finally:
        configuration.set_hypothesis_home_dir(before)


def smallest(invariant: Invariant, subject: Subject) -> tuple[Case | None, int]:
    """The smallest violating case that a bounded search finds, or None; and how many cases were tried."""
    if invariant.small is None:
        return None, 0
    import hypothesis

    if hypothesis.currently_in_test_context():  # searches do not nest; the explicit cases have to do
        return None, 0
    from hypothesis import HealthCheck, Phase
    from hypothesis.errors import Flaky, NoSuchExample

    tried = 0
    deadline = time.monotonic() + PATIENCE_SECONDS[subject.plan.budget]

    def condition(case: Any) -> bool:
        nonlocal tried
        if time.monotonic() > deadline:
            return False
        tried += 1
        return violated(invariant, subject, case)

    settings = hypothesis.settings(
        max_examples=subject.plan.pick(40, 150, 2000),
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=tuple(HealthCheck),
    )
    chance = random.Random(f"{subject.plan.seed}/search/{invariant.id}")
    try:
        with _storage_elsewhere():
            case = hypothesis.find(invariant.small(subject.claims), condition, settings=settings, random=chance)
    except (NoSuchExample, Flaky):  # a target that answers differently each time cannot be shrunk
        return None, tried
    return dict(case), tried
