"""Searching small cases with Hypothesis, used as a library: what it finds is already shrunk."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unilth.sims.invariants.globals import global_state
from unilth.sims.invariants.invariant import Case, Invariant, Subject, Violation

PATIENCE_SECONDS = {"quick": 1.0, "standard": 3.0, "thorough": 30.0}
"""A slow target is searched less: beyond this no further examples are tried for one invariant."""


def judge(invariant: Invariant, subject: Subject, case: Case) -> None:
    """Check one case; each starts from one state of the global generators, so a target that reads them replays too."""
    with global_state(0):
        invariant.check(subject, case)


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
