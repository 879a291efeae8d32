"""CUDA graphs: a training step is recorded once and then replayed, without Python between its kernels.

What is recorded may read nothing back to the host, may wait for nothing, and may take from the host only what never
changes: a number in Python is part of the recording.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Protocol

import torch

WARM = 3  # steps before the recording: libraries choose their kernels meanwhile, and momentum gets its memory

Work = Callable[[], None]


class Recorder(Protocol):
    """What can record work; `Graphs` does on a GPU."""

    def warm(self, work: Work) -> None:
        """Do the work as it would be done while it is recorded."""

    def record(self, work: Work, generators: Sequence[torch.Generator]) -> Work:
        """Record the work without doing it, and return what does it."""


class Graphs:
    """Recording on one GPU, in a stream of its own as CUDA asks for."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)

    def warm(self, work: Work) -> None:
        """Do the work in the stream that records, ordered before and after what else the device does."""
        with torch.cuda.device(self.device):
            here = torch.cuda.current_stream()
            self.stream.wait_stream(here)
            with torch.cuda.stream(self.stream):
                work()
            here.wait_stream(self.stream)

    def record(self, work: Work, generators: Sequence[torch.Generator]) -> Work:
        """Record the work; every generator that it draws from must be given, so that a replay draws anew."""
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        with torch.cuda.device(self.device), torch.cuda.graph(graph, stream=self.stream):
            work()
        return graph.replay


@functools.cache
def graphs(device: torch.device) -> Graphs:
    """The recording on this GPU, one for all runs of a process: cuBLAS keeps a workspace for every stream that it has
    worked in (32 MiB on a Hopper GPU) as long as the process lives."""
    return Graphs(device)


class Replayed:
    """Calls ``work`` a few times, then records it, then replays: the same end as calling it every time."""

    def __init__(self, work: Work, recorder: Recorder, generators: Sequence[torch.Generator]) -> None:
        self.work, self.recorder, self.generators = work, recorder, generators
        self.warmed = 0
        self.replay: Work | None = None

    def __call__(self) -> None:
        """Do the work once."""
        if self.warmed < WARM:
            self.recorder.warm(self.work)
            self.warmed += 1
            return
        if self.replay is None:
            self.replay = self.recorder.record(self.work, self.generators)
        self.replay()
