"""The global magnitude mask, side by side with torch.nn.utils.prune.global_unstructured, in one run.

    python benchmarks/global_mask.py [--weights 25_000_000] [--repeats 3] [--threads N]

Both prune the smallest 90% of the same weights of 50 layers; the masks are compared before any time is printed. Ours is
timed from the weights (magnitudes included), theirs from modules that are not pruned yet. Medians.
"""

from __future__ import annotations

import argparse
import functools
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils import prune

from unilth.sims import masks
from unilth.sims.streams import stream

SPARSITY, LAYERS = 0.9, 50


def layers(weights: int) -> list[nn.Linear]:
    """Linear layers that together have about ``weights`` weights."""
    generator, made = stream(0, "benchmark"), []
    for _ in range(LAYERS):
        with torch.device("meta"):
            layer = nn.Linear(1000, max(1, weights // LAYERS // 1000), bias=False)
        layer = layer.to_empty(device="cpu")
        nn.init.normal_(layer.weight, generator=generator)
        made.append(layer)
    return made


def timed(work: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=int, default=25_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    made = layers(args.weights)
    weights = {f"{number:03d}": layer.weight.detach() for number, layer in enumerate(made)}
    ours, theirs, mask = [], [], {}

    def draw() -> None:
        mask.update(masks.global_magnitude({name: weight.abs() for name, weight in weights.items()}, SPARSITY))

    for _ in range(args.repeats):
        ours.append(timed(draw))
        targets = [(layer, "weight") for layer in made]
        call = functools.partial(prune.global_unstructured, targets, prune.L1Unstructured, amount=SPARSITY)
        theirs.append(timed(call))
        found = {name: layer.weight_mask.bool() for name, layer in zip(mask, made, strict=True)}
        for layer, name in zip(made, weights, strict=True):
            layer.weight_orig.data = weights[name]
            prune.remove(layer, "weight")
            layer.weight = nn.Parameter(weights[name])
        different = sum(int((mask[name] != found[name]).sum()) for name in mask)
    count = masks.size_of(mask)
    print(
        f"{count:,} weights, {LAYERS} layers, sparsity {SPARSITY}, {args.threads} threads, torch {torch.__version__},"
    )
    print(f"Python {platform.python_version()}, {platform.machine()}, median of {args.repeats}")
    print(
        f"pruned {masks.pruned_of(mask):,}, floor {masks.pruned_count(count, SPARSITY):,}, bits that differ {different}"
    )
    print(f"unilth.sims.masks.global_magnitude      {statistics.median(ours):8.3f} s   {[round(t, 3) for t in ours]}")
    print(
        f"torch.nn.utils.prune.global_unstructured {statistics.median(theirs):7.3f} s   {[round(t, 3) for t in theirs]}"
    )
    print(f"ratio {statistics.median(theirs) / statistics.median(ours):.1f}")


if __name__ == "__main__":
    main()
