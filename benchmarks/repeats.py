"""How far repeats of one run are apart on a device: the same spec and seed several times.

    python benchmarks/repeats.py [--repeats 5] [--device auto] [--recipe unilth] [--network lenet-300-100]
                                 [--data digits] [--data-dir DIR] [--sparsity 0.9] [--epochs 20] [--batch 64]
                                 [--precision float32] [--out FILE.json]

On the CPU all repeats end with the same bits (one thread). On a GPU that is not promised: printed are the spread of the
test accuracy and the share of the pruned weights that two repeats have in common, at worst.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
from pathlib import Path

import torch

from unilth.sims.devices import chosen
from unilth.sims.execute import execute
from unilth.sims.masks import Mask
from unilth.sims.spec import RunSpec


def common(one: Mask, other: Mask) -> float:
    """The share of the pruned weights of ``one`` that ``other`` prunes too; 1 where nothing is pruned."""
    both = sum(int((~one[name].cpu() & ~other[name].cpu()).sum()) for name in one)
    pruned = sum(int((~kept).sum()) for kept in one.values())
    return both / pruned if pruned else 1.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words = {"device": "auto", "recipe": "unilth", "network": "lenet-300-100", "data": "digits", "precision": "float32"}
    for name, word in words.items():
        parser.add_argument(f"--{name}", default=word)
    for name, number in {"repeats": 5, "epochs": 20, "batch": 64}.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.repeats < 2:
        parser.error("--repeats must be at least 2")
    device = chosen(args.device)
    spec = RunSpec(
        args.recipe, network=args.network, data=args.data, sparsity=args.sparsity, seed=0, epochs=args.epochs,
        batch=args.batch, precision=args.precision,
    )  # fmt: skip
    runs = [execute(spec, device=device, data_dir=args.data_dir) for _ in range(args.repeats)]
    accuracies = [100 * record["test"]["accuracy"] for _, record in runs]
    found = {
        "device": runs[0][1]["device"],
        "torch": torch.__version__,
        "python": platform.python_version(),
        "spec": runs[0][1]["spec"],
        "repeats": args.repeats,
        "different_tickets": len({record["ticket_digest"] for _, record in runs}),
        "test_accuracy_percent": accuracies,
        "standard_deviation": statistics.stdev(accuracies),
        "pruned_in_common_at_worst": min(common(a.mask, b.mask) for (a, _), (b, _) in itertools.combinations(runs, 2)),
    }
    print(f"{found['device']}, torch {torch.__version__}: {args.recipe}, {args.network}, {args.data}, {args.precision}")
    print(f"{found['different_tickets']} different tickets of {args.repeats} repeats of one spec and seed")
    print(
        f"test accuracy {statistics.mean(accuracies):.2f}%, standard deviation {found['standard_deviation']:.3f} points"
    )
    print(f"pruned weights in common, at worst: {100 * found['pruned_in_common_at_worst']:.2f}%")
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
