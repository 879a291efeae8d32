"""Augmentation in batches does to every image what a slow loop over images does with the same draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from unilth.errors import UserError
from unilth.sims.data.augment import Augment


def images(count: int, channels: int = 3, height: int = 6, width: int = 5, dtype: torch.dtype = torch.uint8):
    drawn = torch.randint(1, 256, (count, channels, height, width), generator=torch.Generator().manual_seed(1))
    return drawn.to(dtype)


def slow(rule: Augment, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One image after the other in NumPy, from draws in the order that the docstring promises."""
    count, channels, height, width = batch.shape

    def draw(bound: int) -> list[int]:
        return torch.randint(bound, (count, 1), generator=generator).flatten().tolist()

    nothing = [0] * count
    down, right = (draw(2 * rule.crop + 1), draw(2 * rule.crop + 1)) if rule.crop else (nothing, nothing)
    flips = draw(2) if rule.flip else nothing
    centres = list(zip(draw(height), draw(width), strict=True)) if rule.cutout else None
    out = []
    for i, image in enumerate(batch.numpy()):
        padded = np.pad(image, ((0, 0), (rule.crop,) * 2, (rule.crop,) * 2))
        cut = padded[:, down[i] : down[i] + height, right[i] : right[i] + width].copy()
        if flips[i]:
            cut = cut[:, :, ::-1].copy()
        if centres:
            top, left = (centre - rule.cutout // 2 for centre in centres[i])
            for channel in range(channels):
                fill = rule.fill[channel] if rule.fill else 0
                cut[channel, max(top, 0) : top + rule.cutout, max(left, 0) : left + rule.cutout] = fill
        out.append(torch.from_numpy(cut))
    return torch.stack(out)


RULES = [
    Augment(),
    Augment(crop=2),
    Augment(crop=9),
    Augment(flip=True),
    Augment(crop=1, flip=True),
    Augment(cutout=1),
    Augment(cutout=3),
    Augment(cutout=4, fill=(7, 0, 255)),
    Augment(crop=2, flip=True, cutout=40, fill=(1, 2, 3)),
    Augment(crop=2, flip=True, cutout=2),
]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_batch_is_augmented_like_every_image_alone(rule, dtype):
    batch = images(40, dtype=dtype)
    before, state = batch.clone(), torch.get_rng_state()
    found = rule(batch, torch.Generator().manual_seed(3))
    assert torch.equal(found, slow(rule, batch, torch.Generator().manual_seed(3)))
    assert found.dtype == dtype and found.shape == batch.shape
    assert torch.equal(batch, before) and torch.equal(torch.get_rng_state(), state)  # nothing else was touched


def test_the_layout_of_the_batch_does_not_matter():
    rule, batch = Augment(crop=2, flip=True, cutout=2, fill=(1, 2, 3)), images(20)
    other = batch.to(memory_format=torch.channels_last)
    first, second = (rule(b, torch.Generator().manual_seed(3)) for b in (batch, other))
    assert torch.equal(first, second)


def test_every_shift_and_flip_is_equally_likely():
    batch = torch.zeros(20_000, 1, 3, 3, dtype=torch.uint8)
    batch[:, 0, 1, 1] = 1  # where the middle goes is the shift
    found = Augment(crop=1)(batch, torch.Generator().manual_seed(0))
    places = found.flatten(1).sum(0)
    assert places.sum() == 20_000 and chisquare(places.tolist()).pvalue > 0.001
    batch = torch.tensor([[[[1, 2]]]], dtype=torch.uint8).expand(20_000, 1, 1, 2)
    flipped = Augment(flip=True)(batch, torch.Generator().manual_seed(0))[:, 0, 0, 0] == 2
    assert chisquare([int(flipped.sum()), int((~flipped).sum())]).pvalue > 0.001


def test_the_generator_decides_and_goes_on():
    rule, batch, generator = Augment(crop=2, flip=True, cutout=2), images(20), torch.Generator().manual_seed(3)
    first, second = rule(batch, generator), rule(batch, generator)
    assert not torch.equal(first, second)
    assert torch.equal(rule(batch, torch.Generator().manual_seed(3)), first)


@pytest.mark.parametrize("wrong", [{"crop": -1}, {"crop": 2.0}, {"crop": True}, {"cutout": -1}, {"flip": 1}])
def test_impossible_augmentations_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        Augment(**wrong)


def test_what_is_no_batch_of_images_is_refused():
    with pytest.raises(UserError, match="shape"):
        Augment(crop=1)(torch.zeros(3, 6, 5), torch.Generator())
    with pytest.raises(UserError, match="fill has 2 values"):
        Augment(cutout=1, fill=(1, 2))(images(2), torch.Generator())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_device_augments_like_the_cpu_and_draws_for_itself():
    rule, batch = Augment(crop=2, flip=True, cutout=2, fill=(1, 2, 3)), images(50)
    there = rule(batch.cuda(), torch.Generator().manual_seed(3))
    assert there.is_cuda and torch.equal(there.cpu(), rule(batch, torch.Generator().manual_seed(3)))
    own = [rule(batch.cuda(), torch.Generator("cuda").manual_seed(3)) for _ in range(2)]
    assert torch.equal(*own)
