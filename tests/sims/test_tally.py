"""Counting a sweep's runs, also those that are put back because their worker died."""

from __future__ import annotations

from unilth.sims.pool import Event
from unilth.sims.results import run_name
from unilth.sims.spec import RunSpec
from unilth.sims.tally import Tally


def test_a_run_that_is_put_back_is_neither_running_nor_over() -> None:
    first, second = RunSpec("omp"), RunSpec("lth")
    tally = Tally({}, [first, second], 2)
    for spec in (first, second):
        tally.take(Event("started", spec))
    tally.take(Event("again", first))
    now = tally.progress()
    assert now.current == (run_name(second),) and (now.done, now.failed, now.total) == (0, 0, 2)
    tally.take(Event("done", second, seconds=8.0))
    assert tally.progress().seconds_left == 4.0, "what was put back is still to be done"
    tally.take(Event("started", first))
    tally.take(Event("done", first, seconds=8.0))
    assert tally.progress().done == 2 and tally.progress().seconds_left == 0.0
