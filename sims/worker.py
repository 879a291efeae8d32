"""A worker process of a sweep: reads one JSON line per job from standard input, answers with one per event.

Started as ``python -m unilth.sims.worker`` by ``unilth.sims.pool``. It imports torch once and then does one run after
the other. When standard input ends, because the parent closed it or died in whatever way, the process ends at once,
also in the middle of a run: run folders appear whole or not at all, so nothing is lost but that run.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from unilth.errors import UserError
from unilth.sims.records import DamagedRecord
from unilth.sims.results import Store
from unilth.sims.spec import RunSpec

Message = dict[str, Any]


def serve(requests: Iterable[Message], emit: Callable[[Message], None]) -> None:
    """Answer requests until there are no more.

    The first is ``{"run": "module:callable", "check": "module:callable" or null, "out", "data_dir", "path", "device",
    "number"}``, answered by ``ready`` with the device that this process trains on, by ``unusable`` or, for a device
    that is not here or cannot be used, by ``refused``; then ``{"check": [spec, ...], "known": [[data, examples,
    digest], ...]}`` is answered by ``refused`` or by ``checked``, with what the check returns (see `preflight.usable`)
    as ``own``, and ``{"spec": ..., "own": ...}`` by ``done``, ``failed`` or ``lost``, before which there may be
    ``said``, a sentence about the run. ``lost`` is a failure with which the process has lost its GPU, and its last
    answer: all that it does there would fail from now on.

    A run gets the place of its checkpoint, in the results directory, so that it goes on where a dead worker left it.
    """
    stream = iter(requests)
    setup = next(stream)
    sys.path[:] = setup["path"]  # whatever the parent can import, its workers can
    data_dir = Path(setup["data_dir"]) if setup["data_dir"] else None
    try:
        run = named(setup["run"])
        check = named(setup["check"]) if setup["check"] else None
    except ImportError as error:
        emit({"event": "unusable", "module": error.name, "reason": _one_line(error)})
        return
    try:
        device = (
            "cpu" if setup["device"] == "cpu" else named("unilth.sims.devices:used")(setup["device"], setup["number"])
        )
    except UserError as error:
        emit({"event": "refused", "reason": str(error)})
        return
    store = Store(Path(setup["out"]))

    def say(sentence: str) -> None:
        emit({"event": "said", "sentence": sentence})

    emit({"event": "ready", "device": device})
    for request in stream:
        if "check" in request:
            try:
                specs = [RunSpec.from_dict(spec) for spec in request["check"]]
                own = check(specs, data_dir=data_dir, known=request["known"]) if check is not None else None
                emit({"event": "checked", "own": own or {}})
            except (UserError, OSError) as error:
                emit({"event": "refused", "reason": str(error)})
            except Exception as error:  # whatever it is, it is the reason; the end of this process would not be
                emit({"event": "refused", "reason": f"the check before the runs fails: {_one_line(error)}"})
        else:
            answer = _done(functools.partial(run, data_dir=data_dir, say=say), request, store, device)
            emit(answer)
            if answer["event"] == "lost":
                return


def named(target: str) -> Callable[..., Any]:
    """The callable that ``module:callable`` names; ImportError if there is none."""
    module, _, name = target.partition(":")
    found = getattr(importlib.import_module(module), name, None)
    if not callable(found):
        raise ImportError(f"{module} has no callable {name!r}", name=module)
    return found


def _done(run: Callable[..., Any], request: Message, store: Store, device: str) -> Message:
    spec = RunSpec.from_dict(request["spec"])
    began = perf_counter()
    try:
        if not _already(store, spec):
            own = request.get("own", {})
            if any(own.values()):  # a run of another file would be for nothing
                for part, now in named("unilth.sims.preflight:own_files")([spec]).items():
                    for name, sha256 in now.items():
                        _compare(part, name, sha256, own)
            ticket, record = run(spec, device=device, checkpoint=store.checkpoint(spec))
            for part in own:  # it may have been edited just before the run looked at it
                _compare(part, record.get(part, {}).get("name"), record.get(part, {}).get("sha256"), own)
            store.write(spec, record, ticket.save if ticket is not None else None)
        store.checkpoint(spec).unlink(missing_ok=True)
    except Exception as error:  # whatever a run raises is its result: it is reported, and the next run goes on
        trace = "".join(traceback.format_exception(error))[-20_000:]
        how = "lost" if _lost(device, error) else "failed"
        return {"event": how, "reason": _one_line(error), "traceback": trace}
    return {"event": "done", "seconds": perf_counter() - began}


def _compare(part: str, name: str | None, sha256: str | None, own: Mapping[str, Mapping[str, str]]) -> None:
    """UserError where a network or score of the user's is another in this run than when the sweep began."""
    if sha256 != own[part].get(name or "", sha256):
        raise UserError(
            f"the {part} {name!r} was edited after the sweep began: put it back as it was, or give another folder"
        )


def _lost(device: str, error: BaseException) -> bool:
    """Whether an error is, or comes from, one of the GPU itself, or left a GPU that no longer answers: after a fault
    cuDNN and cuBLAS raise plain errors of their own."""
    cause: BaseException | None = error
    while cause is not None and type(cause).__name__ != "AcceleratorError":
        cause = cause.__cause__
    return cause is not None or (device != "cpu" and bool(named("unilth.sims.devices:trouble")(device)))


def _already(store: Store, spec: RunSpec) -> bool:
    """Whether a worker that was killed right after the rename has finished this run."""
    try:
        return store.finished(spec) is not None
    except DamagedRecord:
        return False


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}".rstrip(": ")


def _until_the_end(lines: Iterable[str], jobs: queue.SimpleQueue[str]) -> None:
    """Pass lines on; when they end the parent is done or dead, and so is this process."""
    for line in lines:
        jobs.put(line)
    os._exit(0)


def _requests(jobs: queue.SimpleQueue[str]) -> Iterator[Message]:
    while True:
        yield json.loads(jobs.get())


def main() -> None:
    """The process: answers go to what was standard output, and whatever a run prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def emit(message: Message) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_until_the_end, args=(sys.stdin, jobs), daemon=True).start()
    serve(_requests(jobs), emit)


if __name__ == "__main__":
    main()
