"""Images per second of our training loop beside a standard one, in one run, and what masks and penalty cost in a step.

    python benchmarks/training_step.py [--networks resnet20 resnet56] [--batch 128] [--steps 4] [--rounds 3]
                                       [--threads N] [--device cpu|cuda] [--precision float32|bfloat16] [--workers 2]

The standard loop: a `DataLoader` with worker processes whose data set pads, crops, flips and normalises one image after
the other in NumPy (as torchvision's transforms do), float32, eager, `torch.optim.SGD`. Ours: `unilth.sims.training`,
images as uint8 on the device, the same augmentation in batches, a mask at sparsity 0.9 and the growing penalty on; on a
GPU the step is recorded and replayed (give it a hundred steps an epoch and as many workers as there are cores), and so
is what masks and penalty do in it, by itself.
Random images: only time is measured. The loops take turns; an epoch of each is not counted. The medians are compared,
and where other programs run at the same time the load average that is printed says so. On a CPU the last line says
what is left to gain in float32: how long the step's products would take at the speed of one large matrix product.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torch.utils.flop_counter import FlopCounterMode

from unilth.sims import masks, networks
from unilth.sims.data import Augment, Dataset
from unilth.sims.graphs import Graphs, Recorder
from unilth.sims.penalties import GrowingPenalty
from unilth.sims.streams import stream
from unilth.sims.training import Masking, Phase, Training

REPLAYS = 100  # of masks and penalty in one timing
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class Images(TorchDataset[tuple[torch.Tensor, int]]):
    """CIFAR-like images with the usual transforms, one at a time."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels
        self.mean, self.deviation = (np.array(v, np.float32)[:, None, None] for v in (MEAN, DEVIATION))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        padded = np.pad(self.images[index], ((0, 0), (4, 4), (4, 4)))
        row, column, flip = torch.randint(9, ()).item(), torch.randint(9, ()).item(), torch.rand(()).item() < 0.5
        image = padded[:, row : row + 32, column : column + 32]
        image = image[:, :, ::-1] if flip else image
        return torch.from_numpy((image.astype(np.float32) / 255 - self.mean) / self.deviation), int(self.labels[index])


def built(name: str, device: str) -> nn.Module:
    """The network, with the same weights for both loops."""
    return networks.build(name, (3, 32, 32), 10, stream(0, "initial")).to(device)


def standard(name: str, images: np.ndarray, labels: np.ndarray, args: argparse.Namespace) -> Callable[[], None]:
    """One epoch of the standard loop."""
    network = built(name, args.device).train()
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    loader = DataLoader(
        Images(images, labels), args.batch, shuffle=True, drop_last=True, num_workers=args.workers,
        persistent_workers=args.workers > 0, pin_memory=args.device == "cuda",
    )  # fmt: skip

    def epoch() -> None:
        for inputs, targets in loader:
            inputs, targets = inputs.to(args.device, non_blocking=True), targets.to(args.device, non_blocking=True)
            optimizer.zero_grad()
            F.cross_entropy(network(inputs), targets).backward()
            optimizer.step()

    return epoch


def ours(
    name: str, images: np.ndarray, labels: np.ndarray, args: argparse.Namespace, recorder: Recorder | None
) -> Training:
    """Our loop in the middle of a penalty phase."""
    split = torch.from_numpy(images), torch.from_numpy(labels)
    few = split[0][:1], split[1][:1]
    data = Dataset("random", 10, split, few, few, MEAN, DEVIATION, Augment(crop=4, flip=True)).to(args.device)
    network = built(name, args.device)
    weights = masks.prunable(network)
    mask = masks.layer_random(weights, 0.9, generator=stream(0, "mask"))
    goes = {key: kept & (torch.arange(kept.numel(), device=kept.device).reshape(kept.shape) % 2 == 0)
            for key, kept in mask.items()}  # fmt: skip
    phase = Phase(
        "press", 1, 10_000, 0.1, batch=args.batch, precision=args.precision, decay=5e-4, mask=mask, goes=goes,
        penalty=GrowingPenalty(0.01, 1, 1.0),
    )  # fmt: skip
    chance = torch.Generator(args.device).manual_seed(0)
    training = Training(network, data, phase, stream(0, "order"), chance=chance, recorder=recorder)
    network.train()
    return training


def seconds(work: Callable[[], object], device: str) -> float:
    """How long one call takes, with everything on the device done."""
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def both(masking: Masking) -> None:
    """What masks and penalty do in one step."""
    masking._before()
    masking._after()


def hooks(training: Training, recorder: Recorder | None, device: str) -> float:
    """Seconds that masks and penalty take in a step: as Python calls them or, where the step is recorded, replayed."""
    training.place.zero_()  # the epoch left it behind its last step, where there is no penalty to read
    work = functools.partial(both, training.masking)
    if recorder is None:
        return statistics.median(seconds(work, device) for _ in range(20))
    recorder.warm(work)
    replay = recorder.record(work, [])

    def many() -> None:  # a replay takes microseconds, about as long as the device takes to say that it is done
        for _ in range(REPLAYS):
            replay()

    return statistics.median(seconds(many, device) for _ in range(20)) / REPLAYS


def floor(training: Training, images: np.ndarray, args: argparse.Namespace) -> tuple[float, float]:
    """Seconds that the products of one step take at the speed of a large matrix product, and that speed (FLOP/s)."""
    with FlopCounterMode(display=False) as counter:
        training.forward(torch.from_numpy(images[: args.batch])).sum().backward()
    side = torch.rand(2048, 2048)
    speed = 2 * 2048**3 / min(seconds(lambda: side @ side, args.device) for _ in range(10))
    return counter.get_total_flops() / speed, speed


def turns(training: Training, epoch: Callable[[], None], args: argparse.Namespace) -> Iterator[tuple[float, float]]:
    """Seconds of an epoch of ours and of the standard loop, in turns; the first of each is not counted."""
    for number in range(args.rounds + 1):
        pair = seconds(lambda: training._epoch(0), args.device), seconds(epoch, args.device)
        if number:
            yield pair


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["resnet20", "resnet56"])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    for name, default in {"batch": 128, "steps": 4, "rounds": 3, "workers": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    draw = np.random.default_rng(0)
    count = args.batch * args.steps
    images, labels = draw.integers(0, 256, (count, 3, 32, 32), np.uint8), draw.integers(0, 10, count)
    where = torch.cuda.get_device_name() if args.device == "cuda" else torch.backends.cpu.get_cpu_capability()
    print(f"{args.device} ({where}), torch {torch.__version__}, {args.threads} threads, batch {args.batch},")
    print(f"{args.steps} steps an epoch, {args.rounds} rounds, {args.workers} loader workers; ours in {args.precision}")
    recorder = Graphs(torch.device(args.device)) if args.device == "cuda" else None
    for name in args.networks:
        load = os.getloadavg()[0]
        training, epoch = ours(name, images, labels, args, recorder), standard(name, images, labels, args)
        mine, theirs = zip(*turns(training, epoch, args), strict=True)
        step = statistics.median(mine) / args.steps
        ratios = [b / a for a, b in zip(mine, theirs, strict=True)]
        print(f"{name}: ours {args.batch / step:.1f} images/s, standard {count / statistics.median(theirs):.1f}")
        print(f"  ratio {statistics.median(ratios):.2f} (each round {', '.join(f'{r:.2f}' for r in ratios)})")
        part = hooks(training, recorder, args.device)
        print(f"  masks and penalty {100 * part / step:.2f}% of a step of {1000 * step:.2f} ms")
        if args.device == "cpu":
            least, speed = floor(training, images, args)
            print(f"  the step's products at {speed / 1e9:.0f} GFLOP/s, one large matrix product's: {least:.3f} s")
        print(f"  load average before and after: {load:.1f}, {os.getloadavg()[0]:.1f}", flush=True)


if __name__ == "__main__":
    main()
