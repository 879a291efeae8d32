"""Calls in worker processes that end with this one: at once on Ctrl-C, and also if it is killed.

A worker never sees Ctrl-C (the terminal sends it to the whole group), which would only make it print a traceback.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any


def spread(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], workers: int, keep: Callable[[int, Any], None]
) -> None:
    """Call `keep(place, function(*calls[place]))` for every call as it is done; None for one whose worker died.

    Whatever interrupts this (KeyboardInterrupt, an exception of `keep`) drops what is waiting and kills the workers.
    """
    before = multiprocessing.active_children()
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _leave_with_parent)
    try:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the workers inherit it
        try:
            futures = {pool.submit(function, *arguments): place for place, arguments in enumerate(calls)}
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for future in as_completed(futures):
            try:
                result = future.result()
            except BrokenProcessPool:
                result = None
            keep(futures[future], result)
    except BaseException:
        for process in multiprocessing.active_children():
            if process not in before:
                process.kill()
        pool.shutdown(cancel_futures=True)  # waits: a pool that is still closing as Python exits may complain there
        raise
    finally:
        pool.shutdown()


def _leave_with_parent() -> None:
    """In a worker: end when the parent has, however it did."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        sentinel = parent.sentinel
        threading.Thread(target=lambda: (wait([sentinel]), os._exit(1)), daemon=True).start()
