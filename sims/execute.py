"""One run of the algorithm, from a `RunSpec` to a ticket and a record."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from unilth import __version__
from unilth.errors import UserError
from unilth.sims import masks, networks, own_score, zoo
from unilth.sims.checkpoints import SECONDS, Checkpoint, code_digest
from unilth.sims.data import Dataset, load
from unilth.sims.find import Budget, Progress, Search
from unilth.sims.forward import NetworkError, Precision
from unilth.sims.graphs import graphs
from unilth.sims.shortfalls import stopped
from unilth.sims.spec import RunSpec
from unilth.sims.streams import stream
from unilth.sims.tickets import Ticket
from unilth.sims.training import evaluate


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Torch runs on ``number`` threads meanwhile: with another number, sums end in other bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def execute(
    spec: RunSpec,
    *,
    data_dir: Path | None = None,
    progress: Progress | None = None,
    device: str = "cpu",
    checkpoint: Path | None = None,
    every: float = SECONDS,
    hold: bool = False,
    say: Callable[[str], None] | None = None,
) -> tuple[Ticket, dict[str, Any]]:
    """Do one run and return the ticket and its record, which is JSON-able.

    Two runs of one spec on one machine have the same record except for what stands under its key ``timing``. A run
    writes its state to the file ``checkpoint`` every ``every`` seconds, with ``hold`` also where Ctrl-C ends it, and
    goes on from there if it was interrupted; whoever has stored the record removes the file. ``say`` gets a sentence
    where a checkpoint cannot be used.
    """
    recipe = zoo.recipe(spec)
    began = time.perf_counter()
    with _threads(spec.threads):
        stored = _asked(load(spec.data, data_dir), spec)

        def built(purpose: str) -> nn.Module:
            batch = min(spec.batch, len(stored.train[1]))
            return networks.build(spec.network, stored.shape, stored.classes, stream(spec.seed, purpose), batch=batch)

        network = built("initial")
        fresh = built("control").state_dict() if spec.control == "reinitialised" else None
        on_gpu = torch.device(device).type == "cuda"
        data = stored.to(device)
        if on_gpu:  # after the first tensor there: before, CUDA is not initialised and knows no such device
            torch.cuda.reset_peak_memory_stats(device)
        precision = cast(Precision, spec.precision or "float32")
        budget = Budget(spec.epochs, spec.tune, spec.batch, spec.lr, spec.momentum, precision)
        data_digest, origin = stored.digest(), networks.origin(spec.network)
        score = own_score.origin(str(recipe.mask.score))  # the zoo's are names, and so are a spec's
        kept = None
        if checkpoint is not None:
            identity = _identity(spec, data_digest, network, device, origin, score)
            kept = Checkpoint(checkpoint, identity, seconds=every, hold=hold, say=say)
        recorder = None
        if on_gpu and origin["kind"] == "built in":  # one from elsewhere may decide in Python what a step does
            recorder = graphs(torch.device(device))
        search = Search(
            recipe, network.to(device), data, spec.sparsity, spec.seed, budget, progress, kept,
            control=spec.control, recorder=recorder, fresh=fresh,
        )  # fmt: skip
        try:
            ticket = dataclasses.replace(search.run(), recipe=spec.recipe, network=spec.network, spec=spec)
            trained = time.perf_counter()
            if kept:
                kept.keep()  # saving the ticket may be interrupted or fail
            test_loss, test_accuracy = evaluate(search.network, data.test, search.forward)
            if not math.isfinite(test_loss):
                if kept:
                    kept.remove()  # it would only end so again
                raise UserError(
                    f"the test loss is {test_loss}, and the validation loss is not: lower lr (it is {spec.lr}), or see "
                    "what the network does with the test data"
                )
        except KeyboardInterrupt:
            if kept:
                kept.keep()
            raise
        except NetworkError as error:
            raise UserError(str(error).replace("the network", f"the network {spec.network!r}", 1)) from error
    pruned, size = masks.pruned_of(ticket.mask), masks.size_of(ticket.mask)
    record = {
        "schema": 1,
        "spec": dataclasses.asdict(spec),
        "spec_digest": spec.digest(),
        "unilth": __version__,
        "recipe": dataclasses.asdict(recipe),
        "data_digest": data_digest,
        "data": stored.facts(),
        "network": origin,
        "score": score,
        "ticket_digest": ticket.digest(),
        "mask_digest": masks.digest(ticket.mask),
        "device": torch.cuda.get_device_name(device) if on_gpu else device,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "sparsity": {
            "nominal": spec.sparsity,
            "counted": pruned / size,
            "pruned": pruned,
            "weights": size,
            "layers": masks.layer_sparsity(ticket.mask),
            "emptied": [name for name, layer in ticket.mask.items() if not layer.any()],
        },
        "stopping_epoch": None,
        "best_epoch": next((p["best_epoch"] for p in search.phases if p["best_epoch"] is not None), None),
        "phases": search.phases,
        "epochs": search.rows,
        "test": {"loss": test_loss, "accuracy": test_accuracy, "examples": len(data.test[1])},
        "timing": {
            "seconds": search.seconds + time.perf_counter() - began,  # with those before an interruption
            "training_seconds": search.seconds + trained - began,
            "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "peak_device_memory_mib": torch.cuda.max_memory_reserved(device) / 2**20 if on_gpu else None,
        },
    }
    record["stopping_epoch"] = stopped(record)
    return ticket, record


def _asked(data: Dataset, spec: RunSpec) -> Dataset:
    """The part of the data that the spec asks for, with the usual augmentation or without any."""
    if spec.augment == "standard" and data.augment is None:
        raise UserError(f"the data {data.name!r} have no standard augmentation: leave augment out")
    if spec.examples is not None:
        data = data.part(spec.examples)
    return dataclasses.replace(data, augment=None) if spec.augment == "none" else data


def _identity(
    spec: RunSpec, data_digest: str, network: nn.Module, device: str, origin: dict[str, Any], score: dict[str, Any]
) -> dict[str, str]:
    """What must be the same for a run to go on where another process left it."""
    initial = Ticket({}, dict(network.state_dict()), {})
    return {
        "spec": spec.digest(),
        "code": f"unilth {__version__}, {code_digest()}",
        "libraries": f"torch {torch.__version__}, numpy {np.__version__}",
        "data": data_digest,
        "network": json.dumps(origin, sort_keys=True),
        "score": json.dumps(score, sort_keys=True),
        "initial weights": initial.digest(),
        "kind of device": torch.device(device).type,
    }
