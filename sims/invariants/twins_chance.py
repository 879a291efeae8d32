"""Broken random mask rules, each named after a real mistake, with the invariants that must catch it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from unilth.sims.invariants.declarations import mask_rule
from unilth.sims.invariants.ranking import Scores, ranked, shuffled
from unilth.sims.invariants.twin import Twin

RANDOM = mask_rule(scope="global", keeps="random")

_calls = [0]


@RANDOM
def redraws_on_resume(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    _calls[0] += 1
    for _ in range(_calls[0] % 97):
        torch.rand((), generator=generator)
    return shuffled(scores, sparsity, within, generator)


@RANDOM
def draws_from_global_numpy(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    noise = {name: torch.from_numpy(np.random.random_sample(tuple(score.shape))) for name, score in scores.items()}  # noqa: NPY002
    return ranked(noise, sparsity, within)


@RANDOM
def forks_the_global_generator(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    copy = torch.Generator()
    copy.set_state(torch.get_rng_state())
    torch.rand(int(torch.randint(1000, (), generator=generator)), generator=copy)
    return shuffled(scores, sparsity, within, copy)


@RANDOM
def seeds_globally(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    random.seed(0)
    return shuffled(scores, sparsity, within, generator)


@RANDOM
def seeds_inside(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return shuffled(scores, sparsity, within, torch.Generator().manual_seed(0))


@mask_rule(scope="layer", keeps="random")
def draws_once_for_all_layers(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    state = None if generator is None else generator.get_state()
    answer: Scores = {}
    for name, score in scores.items():
        if state is not None:
            generator.set_state(state)
        answer |= shuffled({name: score}, sparsity, None if within is None else {name: within[name]}, generator)
    return answer


@RANDOM
def random_by_magnitude(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    noise = {
        name: torch.rand(score.shape, generator=generator, dtype=torch.float64) * score.double().abs()
        for name, score in scores.items()
    }
    return ranked(noise, sparsity, within)


@RANDOM
def seeds_by_the_hash_of_names(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    seed = 0 if generator is None else generator.initial_seed()
    noise = {
        name: torch.rand(score.shape, generator=torch.Generator().manual_seed((seed + hash(name)) % 2**31))
        for name, score in scores.items()
    }
    return ranked(noise, sparsity, within)


@RANDOM
def never_draws_the_last(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    noise = {name: torch.rand(score.shape, generator=generator) for name, score in scores.items()}
    for name in noise:  # torch.randint(n - 1) where torch.randint(n) was meant: the upper end is exclusive already
        noise[name].view(-1)[-1:] = 2.0
    return ranked(noise, sparsity, within)


CHANCE_TWINS = (
    Twin(redraws_on_resume, "draws anew at each call (DLTH's resume)", ("mask-deterministic",)),
    Twin(
        draws_from_global_numpy,
        "draws from global NumPy (DLTH, shrinkbench)",
        ("mask-ignores-global-state", "mask-leaves-global-state"),
    ),
    Twin(forks_the_global_generator, "copies the global generator's state", ("mask-ignores-global-state",)),
    Twin(seeds_by_the_hash_of_names, "seeds layers by hash(name)", ("mask-ignores-hash",)),
    Twin(seeds_globally, "seeds a global generator", ("mask-leaves-global-state",)),
    Twin(seeds_inside, "seeds its own generator with a constant", ("mask-seeds-differ",)),
    Twin(draws_once_for_all_layers, "starts its generator anew in every layer", ("mask-seeds-differ",)),
    Twin(random_by_magnitude, "weights the draw by magnitude and calls it random", ("mask-random-is-random",)),
    Twin(never_draws_the_last, "draws positions below n - 1 (randint's exclusive end)", ("mask-random-is-random",)),
)
