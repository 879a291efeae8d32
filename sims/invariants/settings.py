"""Torch's settings for a whole process: the kit works under its own, and a target under those that it was found in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch


class Settings(NamedTuple):
    """What decides how torch makes tensors and computes where nobody says it."""

    dtype: torch.dtype
    device: torch.device | None
    grad: bool
    deterministic: tuple[bool, bool]
    threads: int
    precision: str


_FOUND: ContextVar[Settings | None] = ContextVar("found", default=None)
"""The settings outside, while those of the kit are on."""


@contextmanager
def the_kits() -> Iterator[None]:
    """Those of a fresh interpreter where they decide what a problem or a case is: float32, no device, gradients."""
    if _FOUND.get() is not None:
        yield
        return
    found = _now()
    token = _FOUND.set(found)
    try:
        _put(found._replace(dtype=torch.float32, device=None, grad=True))
        yield
    finally:
        _FOUND.reset(token)
        _put(found)


@contextmanager
def the_targets() -> Iterator[None]:
    """Those that `the_kits` found; what the target sets is undone after it, so that each call begins in the same."""
    before, found = _now(), _FOUND.get()
    token = _FOUND.set(None)
    try:
        if found is not None:
            _put(before._replace(dtype=found.dtype, device=found.device, grad=found.grad))
        yield
    finally:
        _FOUND.reset(token)
        _put(before)


def _default_device() -> torch.device | None:
    """The one of `torch.set_default_device`, None if none is set; that of a block is not seen, as it ends by itself.

    `torch.get_default_device` does not tell them apart, and torch breaks where one is put in the place of the other.
    """
    context = getattr(getattr(torch, "_GLOBAL_DEVICE_CONTEXT", None), "device_context", None)
    return None if context is None else context.device


def _now() -> Settings:
    return Settings(
        torch.get_default_dtype(),
        _default_device(),
        torch.is_grad_enabled(),
        (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
    )


def _put(settings: Settings) -> None:
    """Set what differs."""
    now = _now()
    if now.dtype != settings.dtype:
        torch.set_default_dtype(settings.dtype)
    if now.device != settings.device:
        torch.set_default_device(settings.device)
    if now.grad != settings.grad:
        torch.set_grad_enabled(settings.grad)
    if now.deterministic != settings.deterministic:
        on, warn_only = settings.deterministic
        torch.use_deterministic_algorithms(on, warn_only=warn_only)
    if now.threads != settings.threads:
        torch.set_num_threads(settings.threads)
    if now.precision != settings.precision:
        torch.set_float32_matmul_precision(settings.precision)
