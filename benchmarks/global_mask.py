"""The global magnitude mask, side by side with torch.nn.utils.prune.global_unstructured, in one run.

    python benchmarks/global_mask.py [--weights 25_000_000] [--repeats 5] [--theirs 3] [--threads N]

Both prune the smallest 90% of the same weights of 50 layers; the masks are compared before any time is printed. Ours is
timed from the weights (magnitudes included), theirs from modules that are not pruned yet. A first call of each is not
counted: it takes up to 2.5 times as long, because the memory that it writes to is new. Then they take turns, theirs
fewer times because it is slow. The fastest and the median are printed, and the ratio of the medians.
"""

from __future__ import annotations

import argparse
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
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--theirs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    made = layers(args.weights)
    weights = {f"{number:03d}": layer.weight.detach() for number, layer in enumerate(made)}
    mask: masks.Mask = {}

    def draw() -> None:
        mask.update(masks.global_magnitude({name: weight.abs() for name, weight in weights.items()}, SPARSITY))

    def prune_theirs() -> None:
        prune.global_unstructured([(layer, "weight") for layer in made], prune.L1Unstructured, amount=SPARSITY)

    def found() -> dict[str, torch.Tensor]:
        """Their masks; the modules are then as they were before."""
        kept = {name: layer.weight_mask.bool() for name, layer in zip(weights, made, strict=True)}
        for layer, weight in zip(made, weights.values(), strict=True):
            prune.remove(layer, "weight")
            layer.weight = nn.Parameter(weight)
        return kept

    ours, theirs, different = [], [], 0
    for number in range(1 + max(args.repeats, args.theirs)):
        if number <= args.repeats:
            ours.append(timed(draw))
        if number <= args.theirs:
            theirs.append(timed(prune_theirs))
            different += sum(int((mask[name] != kept).sum()) for name, kept in found().items())
    ours, theirs = ours[1:], theirs[1:]
    count = masks.size_of(mask)
    print(
        f"{count:,} weights, {LAYERS} layers, sparsity {SPARSITY}, {args.threads} threads, torch {torch.__version__},"
    )
    print(f"Python {platform.python_version()}, {platform.machine()}; a first call of each is not counted")
    print(
        f"pruned {masks.pruned_of(mask):,}, floor {masks.pruned_count(count, SPARSITY):,}, bits that differ {different}"
    )
    for name, times in {"unilth.sims.masks.global_magnitude": ours, "prune.global_unstructured": theirs}.items():
        fastest, median = min(times), statistics.median(times)
        print(f"{name:35} fastest {fastest:.3f} s, median {median:.3f} s   {[round(t, 3) for t in times]}")
    print(f"ratio {statistics.median(theirs) / statistics.median(ours):.1f}")


if __name__ == "__main__":
    main()
