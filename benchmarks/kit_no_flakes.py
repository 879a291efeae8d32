"""Does the conformance kit ever accuse a correct variant? Many seeds over every variant of ours; 0 violations expected.

    python benchmarks/kit_no_flakes.py --out flakes.jsonl [--first 0] [--seeds 50] [--finders 4] [--budget quick]

A seed checks every mask rule and schedule, and so many ticket finders (`--finders`), dealt out in turn from all rows of
the zoo and the independent references: with 50 seeds and 4 of 29 finders each gets 6 or 7 seeds. The seed changes the
cases, the problems and what the variant draws. Every check is a line of the file; the same command again goes on where
it stopped. Exit code 1 if a correct variant was accused.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import runpy
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import unilth.sims
from unilth.sims.invariants import check
from unilth.sims.invariants.ours import CHEAP
from unilth.sims.invariants.ours_finders import FINDERS
from unilth.sims.invariants.reference import REFERENCES

ROWS = Path(__file__).parent.parent / "tests" / "sims" / "test_zoo_kit.py"  # what each row may claim stands there
FINE = ("passed", "not-applicable")


def dealt(first: int, seeds: int, finders: int) -> Iterator[tuple[int, Any]]:
    """Seed and variant, one after the other."""
    rows = runpy.run_path(str(ROWS))
    slow = [*FINDERS, *(rows["finder"](name) for name in rows["CLAIMS"]), *REFERENCES]
    for seed in range(first, first + seeds):
        yield from ((seed, variant) for variant in CHEAP)
        for place in range(finders):
            yield seed, slow[(seed * finders + place) % len(slow)]


def digest() -> str:
    """SHA-256 (hex) of the simulations' source and of the rows' claims: a change of either makes every check new."""
    state = hashlib.sha256()
    for path in [*sorted(Path(unilth.sims.__path__[0]).rglob("*.py")), ROWS]:
        state.update(path.read_bytes())
    return state.hexdigest()


def main() -> int:
    """Check, write a line for each, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    for name, number in {"first": 0, "seeds": 50, "finders": 4}.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--budget", choices=("quick", "standard", "thorough"), default="quick")
    args = parser.parse_args()
    torch.set_num_threads(1)
    code = digest()
    found = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.exists() else []
    rows = {(row["seed"], row["variant"]): row for row in found if (row["code"], row["budget"]) == (code, args.budget)}
    todo = list(dealt(args.first, args.seeds, args.finders))
    with args.out.open("a") as file:
        for number, (seed, variant) in enumerate(todo, start=1):
            key = seed, variant.__name__
            if key in rows:
                continue
            began = time.process_time()
            report = check(variant, budget=args.budget, seed=seed)
            bad = [[row.id, row.status, row.got, row.case] for row in report.invariants if row.status not in FINE]
            rows[key] = {
                "seed": seed, "variant": variant.__name__, "budget": args.budget, "code": code, "bad": bad,
                "counts": report.counts, "cpu_seconds": round(time.process_time() - began, 2),
            }  # fmt: skip
            print(json.dumps(rows[key]), file=file, flush=True)
            print(f"{number}/{len(todo)}: seed {seed}, {variant.__name__}: {bad or 'fine'}", flush=True)
    mine = [rows[seed, variant.__name__] for seed, variant in todo]
    accused = [row for row in mine if row["bad"]]
    variants = {row["variant"] for row in mine}
    print(f"{len(mine)} checks of {len(variants)} variants with {args.seeds} seeds: {len(accused)} accused")
    for row in accused:
        print(f"  seed {row['seed']}, {row['variant']}: {row['bad']}")
    return 1 if accused else 0


if __name__ == "__main__":
    sys.exit(main())
