"""The image networks have the published parameter counts, the right output shape, and refuse what they cannot be."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unilth.sims.networks.resnet import cifar_resnet, resnet18, wide_resnet
from unilth.sims.networks.vgg import conv_network, vgg16
from unilth.sims.networks.vit import SmallViT


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("network", "published"),
    [
        (cifar_resnet(20, 3, 10, "B"), 272_474),  # open_lth
        (cifar_resnet(20, 3, 10, "A"), 269_722),  # DLTH
        (cifar_resnet(56, 3, 10, "A"), 853_018),  # DLTH
    ],
)
def test_published_parameter_counts(network: nn.Module, published: int) -> None:
    assert parameters(network) == published


@pytest.mark.parametrize(
    ("build", "millions"),
    [
        (lambda: wide_resnet(28, 10, 3, 10), 36.5),  # Zagoruyko and Komodakis 2016, table 4
        (lambda: conv_network(2, 3, 32, 10), 4.3),  # Frankle and Carbin 2019, figure 2
        (lambda: conv_network(4, 3, 32, 10), 2.4),
    ],
)
def test_parameter_counts_published_in_millions(build, millions: float) -> None:
    with torch.device("meta"):
        assert round(parameters(build()) / 1e6, 1) == millions


@pytest.mark.parametrize(
    ("build", "size"),
    [
        (lambda: cifar_resnet(20, 3, 10, "A"), 32),
        (lambda: resnet18(3, 10), 64),
        (lambda: wide_resnet(16, 1, 3, 10), 32),
        (lambda: vgg16(3, 32, 10), 32),
        (lambda: conv_network(2, 3, 32, 10), 32),
        (lambda: conv_network(6, 3, 28, 10), 28),
        (lambda: SmallViT(3, 32, 10, depth=1), 32),
    ],
)
def test_logits_have_one_row_per_image(build, size: int) -> None:
    logits = build()(torch.zeros(2, 3, size, size))
    assert logits.shape == (2, 10) and torch.isfinite(logits).all()


@pytest.mark.parametrize(
    "build",
    [
        lambda: cifar_resnet(21, 3, 10),
        lambda: cifar_resnet(20, 3, 10, "C"),
        lambda: wide_resnet(27, 2, 3, 10),
        lambda: wide_resnet(28, 0, 3, 10),
        lambda: conv_network(3, 3, 32, 10),
        lambda: conv_network(6, 3, 7, 10),
        lambda: SmallViT(3, 30, 10),
        lambda: SmallViT(3, 32, 10, heads=5),
    ],
)
def test_impossible_shapes_are_refused(build) -> None:
    with pytest.raises(ValueError, match=r"is .+;|too small|must divide"):
        build()


def test_option_a_shortcut_keeps_every_second_pixel_and_centres_the_channels() -> None:
    block = cifar_resnet(20, 3, 10, "A").stages[3]
    x = torch.arange(16.0).view(1, 1, 4, 4).expand(1, 16, 4, 4)
    out = block.shortcut(x)
    assert out.shape == (1, 32, 2, 2)
    assert (
        torch.equal(out[0, 8], torch.tensor([[0.0, 2.0], [8.0, 10.0]]))
        and not out[0, :8].any()
        and not out[0, 24:].any()
    )
