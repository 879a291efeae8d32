"""End points on another device than the CPU, without one: a stand-in for it that every leak to the host trips over."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from unilth import cli
from unilth.errors import UserError
from unilth.sims import networks
from unilth.sims.data import Dataset
from unilth.sims.data.augment import Augment
from unilth.sims.endpoints import distances, ladder, run
from unilth.sims.endpoints.ends import ENDS
from unilth.sims.endpoints.kept import Kept
from unilth.sims.endpoints.parts import _measure, measure_part, names
from unilth.sims.endpoints.plan import QUICK, Plan
from unilth.sims.streams import stream

TINY = dataclasses.replace(QUICK, seeds=2, examples=20, pairs=2, iterations=5, splits=2, probes=2)
FEW = ("unilth", "stopped", "l2-pruned", "dlth", "lth")  # every way to an end point once
MADE = ("arange", "as_tensor", "empty", "eye", "full", "linspace", "ones", "rand", "randint", "randn",
        "randperm", "tensor", "zeros")  # fmt: skip
SHAPED = ("view_as", "expand_as", "reshape_as")  # take nothing but a shape from their second argument
FREE = ("__getitem__", "copy_", "__setitem__", "index_select_")  # take indices or values from the host


class Leak(Exception):
    """What a GPU would have refused."""


def on_host(values: Tensor) -> bool:
    return getattr(values, "lies_on_host", False)


def marked(values: Iterable[Any], host: bool) -> None:
    for value in values:
        if isinstance(value, Tensor):
            value.lies_on_host = host  # type: ignore[attr-defined]


class Elsewhere(TorchFunctionMode):
    """Every tensor lies on a device but those made without naming one, or brought back by ``cpu``. Refuses what CUDA
    refuses: the two in one operation (a number or an index may come from the host), and ``numpy`` of the device's."""

    def __enter__(self) -> Any:
        self.from_numpy = torch.from_numpy  # the one maker that a mode does not see
        torch.from_numpy = self.arrived
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        torch.from_numpy = self.from_numpy
        super().__exit__(*raised)

    def arrived(self, values: Any) -> Tensor:
        found = self.from_numpy(values)
        marked([found], host=True)
        return found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        if name in SHAPED:
            given = given[:1]
        host = [value for value in given if on_host(value)]
        if name in ("numpy", "__array__") and not host:
            raise Leak(f"{name} of a tensor on the device")
        if 0 < len(host) < len(given) and name not in FREE and any(value.ndim for value in host):
            raise Leak(f"{name} of tensors on the device and on the host")
        found = func(*args, **kwargs)
        where = [value for value in tree_leaves((args[1:], kwargs)) if isinstance(value, torch.device | str)]
        if name == "to" and where:
            found = found.clone() if found is args[0] else found
            marked([found], host=where == ["cpu"])  # the word is the default of a place; a tensor's own is no word
        elif name == "cpu":
            found = found.clone()
            marked([found], host=True)
        elif name in MADE:
            marked([found], host=kwargs.get("device") in (None, "cpu"))
        elif given and len(host) == len(given):
            marked(tree_leaves(found), host=True)
        return found


def small(*_: object) -> nn.Module:
    """Convolution, batch norm and a linear layer: on the host, as every new network is."""
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))
    networks.initialise(network, stream(0, "initial"))
    marked([*network.parameters(), *network.buffers()], host=True)
    return network


def chained(*_: object) -> nn.Module:
    """Linear layers, whose units can be matched."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 6), nn.ReLU(), nn.Linear(6, 2))
    networks.initialise(network, stream(0, "initial"))
    marked([*network.parameters(), *network.buffers()], host=True)
    return network


def moved(network: nn.Module, *_: object) -> nn.Module:
    marked([*network.parameters(), *network.buffers()], host=False)
    return network


def images(count: int = 80) -> Dataset:
    """Images as they are stored, with augmentation: what has every way to draw from the wrong generator."""
    draws = stream(3, "images")
    inputs = torch.randint(0, 256, (count, 1, 6, 6), generator=draws, dtype=torch.uint8)
    split = inputs, (inputs[:, 0, 2:4, 2:4].float().mean((1, 2)) > 127).long()
    return Dataset("images", 2, split, split, split, (0.5,), (0.25,), Augment(crop=1, flip=True))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., nn.Module], str], Any]:
    """Measures one part with everything but what is made on the host elsewhere."""
    initialise = ladder.initialise

    def on_the_host(network: nn.Module, generator: torch.Generator) -> None:
        initialise(network, generator)
        marked(network.parameters(), host=True)

    def measured(build: Callable[..., nn.Module], part: str) -> Any:
        monkeypatch.setattr(networks, "build", build)
        monkeypatch.setattr(ladder, "initialise", on_the_host)
        monkeypatch.setattr(nn.Module, "to", moved)
        monkeypatch.setattr(distances, "POINTS", 2)
        monkeypatch.setattr(distances, "ENDS", tuple(end for end in ENDS if end[0] in FEW))
        data = images()
        with Elsewhere():
            return _measure(TINY, data, part)

    return measured


@pytest.mark.parametrize("part", [name for name in names(TINY) if not name.endswith("seed 1")])
def test_nothing_of_a_part_leaks_to_the_host(elsewhere, part: str) -> None:
    assert elsewhere(small, part)


def test_matching_units_does_not_leak_to_the_host(elsewhere) -> None:
    found = elsewhere(chained, "distances, seed 0")
    assert all(pair["aligned"]["units"] == 6 for pair in found["pairs"])


def test_the_stand_in_refuses_what_a_gpu_refuses() -> None:
    there = torch.ones(3)
    with Elsewhere():
        here = torch.zeros(3)
        for leak in (
            lambda: there + here,
            lambda: there.numpy(),
            lambda: torch.cat([there, here.to("cpu")]),
            lambda: there * (here.double() + 1),
            lambda: there.add_(torch.from_numpy(here.numpy())),
            lambda: nn.functional.linear(there[None], torch.zeros(2, 3)),
        ):
            with pytest.raises(Leak):
                leak()
        assert (there + here.to(there.device)).cpu().numpy().sum() == 3
        assert float(there.sum() * torch.tensor(2.0)) == 6 and there[torch.tensor([0, 1])].shape == (2,)


def test_parts_of_another_device_are_not_taken_up(tmp_path: Path) -> None:
    found = {"result": 1, "cpu_seconds": 1.0}
    Kept(tmp_path, QUICK, "data", "cpu").write("winners", found)
    assert Kept(tmp_path, QUICK, "data").read("winners") == found
    assert Kept(tmp_path, QUICK, "data", "NVIDIA H200").read("winners") is None
    wider = dataclasses.replace(QUICK, seeds=9, only=("winners",))
    assert Kept(tmp_path, wider, "data").read("winners") == found


def test_parts_take_the_gpus_in_turn_and_one_process_is_enough_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run.default_workers("cpu") >= 1
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    counts = [run.default_workers(name) for name in ("cuda", "auto", "cuda:1")]
    assert counts == [2, 2, 1] and run.default_workers("cpu") >= 1


def test_a_device_that_is_not_here_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name, says in (("cuda", "torch sees no GPU here; give auto or cpu"), ("gpu", "must be auto, cpu, cuda")):
        for more in ([], ["--workers", "1"]):
            assert cli.main(["endpoints", "--out", str(tmp_path / "new"), "--device", name, *more]) == 2
            error = capsys.readouterr().err
            assert says in error and error.count("\n") == 1
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert cli.main(["endpoints", "--out", str(tmp_path / "new"), "--device", "mps"]) == 2
    assert "device 'mps' has no float64" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_record_says_its_device_and_holds_what_was_asked_for(tmp_path: Path) -> None:
    plan = dataclasses.replace(TINY, only=("winners",), test_part=30)
    Kept(tmp_path, plan, run.load("digits").digest()).write("winners", {"result": [1], "cpu_seconds": 1.0})
    record = run.study(plan, None, workers=1, keep=tmp_path, device="cpu")
    assert (
        record["data"]["name"] == "digits"
        and record["device"] == "cpu"
        and record["winners"] == [1]
        and record["plan"]["only"] == ["winners"]
    )
    assert record["ladder"] == record["section7"] == record["distances"] == [] and record["curvature"] == {}
    with pytest.raises(UserError, match="examples is 200: there are 100 to train on"):
        run.study(dataclasses.replace(plan, test_part=None, examples=200, part=100), None, workers=1)
    with pytest.raises(UserError, match="test_part is 9999"):
        run.study(dataclasses.replace(plan, test_part=9999), None, workers=1)


def assert_alike(there: dict[str, Any], here: dict[str, Any]) -> None:
    """A rung on two devices: float64 throughout, so that only descent on a network tells their roundings apart."""
    assert there["eigenvalues"] == pytest.approx(here["eigenvalues"], rel=1e-6)
    for one, other in zip(there["rows"], here["rows"], strict=True):
        assert one["start"]["error"] == pytest.approx(other["start"]["error"], abs=1e-4)
        assert not here["exact"] or one["rule"] != "stopped" or one["start"]["error"] < 1e-6


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("part", names(TINY))
def test_a_gpu_measures_what_the_cpu_measures(part: str) -> None:
    there, here = (measure_part(TINY, None, part, device)["result"] for device in ("cuda", "cpu"))
    assert [type(leaf) for leaf in tree_leaves(there)] == [type(leaf) for leaf in tree_leaves(here)]
    if part.startswith("rung"):
        assert_alike(there, here)
    if part == "curvature":
        for kind in ("hessian at start", "gauss_newton at start"):
            assert there[kind]["top"] == pytest.approx(here[kind]["top"], rel=1e-3)


def test_a_plan_with_impossible_parts_is_refused() -> None:
    for bad in ({"only": ()}, {"only": ("ladders",)}, {"test_part": 0}):
        with pytest.raises(UserError, match=next(iter(bad))):
            Plan(**bad)
