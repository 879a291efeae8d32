"""The stream that records is one for all runs of a process on a GPU; a stand-in counts streams."""

from __future__ import annotations

import pytest
import torch

from unilth.sims.graphs import graphs


def test_runs_of_a_process_record_in_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "Stream", made.append)
    graphs.cache_clear()
    try:
        first, same, other = (graphs(torch.device(name)) for name in ("cuda:0", "cuda:0", "cuda:1"))
    finally:
        graphs.cache_clear()
    assert first is same and first is not other
    assert made == [torch.device("cuda:0"), torch.device("cuda:1")]
