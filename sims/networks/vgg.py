"""Plain convolutional networks: Conv-2/4/6 (Frankle & Carbin 2019, figure 2) and VGG-16 with batch norm."""

from __future__ import annotations

from torch import nn


def conv_network(depth: int, channels: int, size: int, classes: int) -> nn.Sequential:
    """Conv-2, Conv-4 or Conv-6: pairs of 3x3 convolutions and a pooling after each pair, then 256-256-classes.

    `size` is the height and width of the input in pixels; each pooling halves it.
    """
    if depth not in (2, 4, 6):
        raise ValueError(f"depth is {depth}; Conv-2, Conv-4 and Conv-6 exist")
    layers: list[nn.Module] = []
    width_in = channels
    for width in (64, 128, 256)[: depth // 2]:
        layers += [
            nn.Conv2d(width_in, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
        ]
        layers.append(nn.MaxPool2d(2))
        width_in, size = width, size // 2
    if size < 1:
        raise ValueError(f"the input is too small for Conv-{depth}, which halves it {depth // 2} times")
    dense = [nn.Flatten(), nn.Linear(width_in * size * size, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()]
    return nn.Sequential(*layers, *dense, nn.Linear(256, classes))


def vgg16(channels: int, size: int, classes: int) -> nn.Sequential:
    """VGG-16 with batch norm and one linear layer, as in the pruning literature (Simonyan & Zisserman 2015, column D).

    Five poolings: an input below 32 pixels keeps its last ones out, so that 28x28 works.
    """
    layers: list[nn.Module] = []
    width_in = channels
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(width_in, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            width_in = width
        if size >= 2:
            layers.append(nn.MaxPool2d(2))
            size //= 2
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))
