"""What a finished phase held (momentum, masks, a recording) comes back at once: it may lie on a GPU."""

from __future__ import annotations

import gc
import weakref

import pytest

from unilth.sims import find, zoo
from unilth.sims.data import load
from unilth.sims.find import Budget, Search
from unilth.sims.networks import build
from unilth.sims.streams import stream
from unilth.sims.training import Training


class Again:
    """Records work by keeping it."""

    def warm(self, work):
        work()

    def record(self, work, generators):
        return work


@pytest.mark.parametrize("recorder", [None, Again()])
def test_no_phase_is_left_in_memory_when_the_next_begins(monkeypatch, recorder):
    alive, begun = [], []

    class Counted(Training):
        def __init__(self, *arguments, **named):
            begun.append(sum(training() is not None for training in alive))
            super().__init__(*arguments, **named)
            alive.append(weakref.ref(self))

    monkeypatch.setattr(find, "Training", Counted)
    network = build("lenet-300-100", (1, 8, 8), 10, stream(0, "initial"))
    search = Search(
        zoo.row("unilth").recipe, network, load("digits"), 0.9, 0, Budget(epochs=12, batch=256), recorder=recorder
    )
    gc.collect()
    gc.disable()  # cycles would be found at some time or other
    try:
        search.run()
        assert len(begun) > 3 and not any(begun) and not any(training() for training in alive)
    finally:
        gc.enable()
