"""The top eigenpairs of the Hessian and of the Gauss-Newton matrix of a network, timed on a device.

    python benchmarks/endpoints_curvature.py [--network resnet20] [--pairs 50] [--examples 512] [--device cpu|cuda]
                                             [--data-dir DIR] [--tolerance 1e-4] [--out FILE.json]

The bound to meet: ResNet-20 on CIFAR-10, top 50 eigenpairs of each, in under 5 minutes on one H200-class GPU. That is

    python benchmarks/endpoints_curvature.py --device cuda --data-dir DIR --out curvature.json

With --data-dir the images are the first of CIFAR-10's training split, otherwise noise of their shape, which costs the
same. The network is at its initial values with batch norm frozen to these images, the loss the mean square error on
one-hot targets, everything in float64: what `unilth endpoints` measures. Beside the seconds stand the number of
products with a vector, the largest residual |Av - sv| over the largest eigenvalue (what the answer is worth), and the
memory at its peak: on a GPU torch's, on the CPU the process's. Lanczos keeps 2 pairs + 1 vectors of the size of the
parameters beside that, in the host's memory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch
from torch import Tensor

from unilth.sims import devices, networks
from unilth.sims.data import load
from unilth.sims.endpoints.batch_norm import measure_statistics
from unilth.sims.endpoints.curvature import host, top_eigenpairs
from unilth.sims.endpoints.model import Model, network_model
from unilth.sims.streams import stream

SHAPE, CLASSES = (3, 32, 32), 10


def images(args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Prepared inputs and labels."""
    if args.data_dir is not None:
        data = load("cifar10", args.data_dir)
        return data.prepare(data.train[0][: args.examples]), data.train[1][: args.examples]
    draws = stream(0, "noise")
    return torch.randn(args.examples, *SHAPE, generator=draws), torch.arange(args.examples) % CLASSES


def built(args: argparse.Namespace, device: str) -> Model:
    """The network as a function of its parameters, on the device."""
    inputs, labels = (part.to(device) for part in images(args))
    network = networks.build(args.network, SHAPE, CLASSES, stream(0, "initial")).to(device)
    return network_model(args.network, measure_statistics(network, inputs), inputs, labels, CLASSES)


def counted(product: Callable[[Tensor], Tensor], calls: list[int]) -> Callable[[Tensor], Tensor]:
    """The product, which counts its calls."""

    def multiply(v: Tensor) -> Tensor:
        calls[0] += 1
        return product(v)

    return multiply


def timed(kind: str, model: Model, args: argparse.Namespace, device: str) -> dict[str, Any]:
    """Seconds of one matrix's top eigenpairs and what they are worth; a first product warms up, uncounted."""
    gpu = device.startswith("cuda")
    product = model.hessian(model.start) if kind == "hessian" else model.gauss_newton(model.start)
    product(torch.ones_like(model.start))
    if gpu:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    calls, cpu, began = [0], time.process_time(), time.perf_counter()
    size = len(model.start)
    values, vectors = top_eigenpairs(counted(product, calls), size, args.pairs, tolerance=args.tolerance, device=device)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    columns = torch.from_numpy(np.ascontiguousarray(vectors.T)).to(device)
    left = [host(product(v)) - s * host(v) for s, v in zip(values, columns, strict=True)]
    peak = torch.cuda.max_memory_allocated(device) if gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "matrix": kind,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "products": calls[0],
        "residual": max(float(np.linalg.norm(one)) for one in left) / float(values[0]),
        "top": values.tolist(),
        "peak_memory_mib": peak / 2**20,
        "lanczos_mib": 8 * size * min(size, max(2 * args.pairs + 1, 20)) / 2**20,
    }


def main() -> None:
    """Measure, print, and write with --out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--examples", type=int, default=512)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = devices.chosen(args.device)
    where = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()
    model = built(args, device)
    versions = {"python": platform.python_version(), "torch": torch.__version__, "scipy": scipy.__version__}
    facts: dict[str, Any] = {
        "device": f"{device} ({where})",
        "versions": versions,
        "threads": args.threads,
        "network": args.network,
        "parameters": len(model.start),
        "data": "noise" if args.data_dir is None else "cifar10",
        "examples": args.examples,
        "pairs": args.pairs,
        "tolerance": args.tolerance,
        "load_before": os.getloadavg()[0],
    }
    print(", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)
    facts["matrices"] = []
    for kind in ("hessian", "gauss-newton"):
        one = timed(kind, model, args, device)
        facts["matrices"].append(one)
        print(
            f"{kind}: {args.pairs} eigenpairs in {one['seconds']:.1f} s ({one['cpu_seconds']:.1f} s of processor "
            f"time), {one['products']} products, residual {one['residual']:.1e}, largest {one['top'][0]:.4g}, "
            f"peak memory {one['peak_memory_mib']:.0f} MiB, {one['lanczos_mib']:.0f} MiB of Lanczos vectors",
            flush=True,
        )
    facts["load_after"] = os.getloadavg()[0]
    if args.out is not None:
        args.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
