"""Invariants of ticket finders, part 4: what the validation split is not for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unilth.sims.invariants.finder_result import FORM, KIND, finder_cases
from unilth.sims.invariants.finder_run import Run, run
from unilth.sims.invariants.invariant import Case, Invariant, NotJudged, Subject, fail
from unilth.sims.invariants.observe import Event, State, places


def check_no_validation(subject: Subject, case: Case) -> None:
    """No gradient comes from a row of the validation split, and no batch-norm statistic of the answer."""
    seen = run(subject, case)
    known = torch.cat([seen.pristine.validation[0], seen.pristine.train[0]])
    held_out, recognised, strange = len(seen.pristine.validation[0]), False, 0
    for event in seen.events:
        if event.kind == "forward" and event.learns and event.rows is not None:
            found = places(_learned(event, event.rows), known)
            guilty = sum(place is not None and place < held_out for place in found)
            if guilty:
                fail(
                    got=f"a gradient from {guilty} validation rows",
                    expected="validation data only steers stopping",
                )
            strange += found.count(None)
            recognised = recognised or any(place is not None for place in found)
    if not recognised:
        raise NotJudged("no training row was recognised as one of those given")
    _judge_statistics(seen)
    if strange:
        raise NotJudged(f"{strange} rows were trained on that are none of those given: augmented, or others")


def _learned(event: Event, rows: Tensor) -> Tensor:
    """The rows of a training pass from whose answers a gradient came: a loss may leave some out."""
    pull = event.taught
    if pull is None or pull.dim() == 0 or len(pull) != len(rows):
        return rows
    return rows[pull.reshape(len(pull), -1).any(1)]


def _judge_statistics(seen: Run) -> None:
    """Validation rows passed in training mode stay in the statistics until these are reset or put back as they were."""
    names = [name for name in seen.given if name.endswith(("running_mean", "running_var"))]

    def print_of(state: State) -> bytes:
        return b"".join(state[name].double().numpy().tobytes() for name in names)

    fresh = print_of({name: torch.full_like(seen.given[name], float(name.endswith("var"))) for name in names})
    clean: dict[int, set[bytes]] = {}  # by model: statistics that no validation row had gone into
    fouled: dict[int, int] = {}
    for event in seen.events if names else ():
        known, now = clean.setdefault(event.model, {print_of(seen.given), fresh}), print_of(event.state)
        if now in known:
            fouled.pop(event.model, None)
        elif event.model not in fouled:
            known.add(now)
        if event.kind == "forward" and event.training and event.rows is not None:
            guilty = sum(place is not None for place in places(event.rows, seen.pristine.validation[0]))
            if guilty:
                fouled[event.model] = guilty
    answer = {**seen.given, **seen.result.weights}
    for model, guilty in fouled.items():
        last = print_of(seen.live[model])
        if last not in clean[model] and last == print_of(answer):
            fail(
                got=f"batch-norm statistics that {guilty} validation rows went into, in training mode",
                expected="evaluation mode (`model.eval()`) on held-out rows",
            )


def _row(id: str, statement: str, why: str, check: Any, cases: Any = finder_cases, **more: Any) -> Invariant:
    return Invariant(id, KIND, statement, why, check, cases, **{"needs": FORM, **more})


FINDER_VALIDATION = (
    _row(
        "finder-no-validation-rows",
        "No gradient and no batch-norm statistic comes from a validation row.",
        "DLTH stops and reports the best epoch on the test set; held-out data that is trained on holds out nothing",
        check_no_validation,
    ),
)
