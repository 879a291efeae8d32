"""A campaign from start to end: what is finished is skipped, what is left goes to worker processes, nothing is lost.

However a sweep ends (finished, Ctrl-C, a killed worker, itself killed), the same sweep again does what is missing and
ends with the same records. A damaged record is set aside and its run repeated. A run that raised is not tried again by
this sweep, but by the next.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from unilth.errors import UserError
from unilth.sims.campaign import Campaign
from unilth.sims.lock import locked
from unilth.sims.pool import Pool
from unilth.sims.records import DamagedRecord, Record
from unilth.sims.results import Store, run_name
from unilth.sims.shared_gpu import BUSY, gpus
from unilth.sims.spec import RunSpec
from unilth.sims.tally import Progress, Tally
from unilth.sims.work import worked, write_whole

RUN = "unilth.sims.execute:execute"
CHECK = "unilth.sims.preflight:usable"


@dataclass(frozen=True)
class Plan:
    """What is to do: the finished runs with their records, the specs left, and those whose record is damaged."""

    finished: Mapping[RunSpec, Record]
    left: tuple[RunSpec, ...]
    damaged: tuple[RunSpec, ...]

    @property
    def known(self) -> tuple[tuple[str, int | None, str], ...]:
        """The data of the finished runs: data set, examples asked for, digest."""
        return tuple(
            dict.fromkeys(
                (spec.data, spec.examples, str(record["data_digest"]))
                for spec, record in self.finished.items()
                if "data_digest" in record
            )
        )


@dataclass(frozen=True)
class Summary:
    """What a sweep did: runs in all, skipped as finished, done now, failed with reasons, repeated as damaged."""

    total: int
    skipped: int
    done: int
    failed: tuple[tuple[str, str], ...]
    repeated: tuple[str, ...]
    seconds: float
    workers: int

    @property
    def ok(self) -> bool:
        """Every run of the campaign is finished."""
        return not self.failed and self.skipped + self.done == self.total


def plan(campaign: Campaign, out: Path | str) -> Plan:
    """Look at what is there; changes nothing, and imports no torch unless a run has a network or score of the user's.

    UserError where such a network or score is another by now than in a finished run.
    """
    store = Store(Path(out))
    finished: dict[RunSpec, Record] = {}
    damaged = []
    for spec in campaign.specs:
        try:
            record = store.finished(spec)
        except DamagedRecord:
            damaged.append(spec)
            continue
        if record is not None:
            finished[spec] = record
    for record in finished.values():
        _check_own(record, store.root)
    return Plan(finished, tuple(spec for spec in campaign.specs if spec not in finished), tuple(damaged))


def sweep(
    campaign: Campaign,
    out: Path | str,
    *,
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] | None = None,
    data_dir: Path | None = None,
    device: str = "cpu",
    run: str = RUN,
    check: str | None = CHECK,
) -> Summary:
    """Do every run of ``campaign`` that ``out`` does not hold yet, in ``workers`` processes (default: `usual`).

    ``device`` is auto, cpu, cuda, cuda:N or mps; the GPUs are dealt out to the workers, so several tickets train on
    each. Where nothing is left to do and a ``data_dir`` is given, its data are compared with those of the finished
    runs.

    ``run`` names (``module:callable``) what does one run: ``run(spec, data_dir=..., device=..., checkpoint=...,
    say=...)`` returns a ticket with ``save(folder)`` (or None) and a record that is the same every time but for its key
    ``timing``, and may keep its state in the file ``checkpoint`` meanwhile; what it gives ``say`` comes to this ``say``
    with the run's name. ``check`` names what refuses impossible specs, and data that are others than those of the
    finished runs, before the first run. Raises ``UserError`` for those, for a directory that cannot be used and for one
    that another sweep uses.
    """
    began = monotonic()
    if workers is not None and workers < 1:
        raise UserError(f"workers must be at least 1, not {workers}")
    store = Store(Path(out))
    store.create()
    with locked(store.root, name="the results directory"):
        store.clean()
        todo = plan(campaign, store.root)
        for spec in todo.damaged:
            store.set_aside(spec)
        for spec in todo.left:
            if store.checkpoint(spec).is_dir():  # said now: the run would be done and then count as failed
                raise UserError(f"{str(store.checkpoint(spec))!r} is a folder, where a checkpoint goes: move it away")
        count = max(1, min(workers or usual(device), len(todo.left)))
        tally, kept = Tally(todo.finished, todo.left, count), False
        if todo.left:
            try:
                pool = Pool(run, check, store.root, data_dir, count, device, todo.known)
                with closing(worked(pool, store, todo.left)) as events:
                    for event in events:
                        if event.kind == "started" and not kept:  # the check has passed
                            keep_campaign(store, campaign)
                            kept = True
                        tally.take(event)
                        if say and event.kind == "said":
                            say(f"{run_name(event.spec)}: {event.reason}" if event.spec else event.reason)
                        if progress:
                            progress(tally.progress())
            finally:
                store.clean()
        else:
            if check is not None:
                compare_data(todo, data_dir, say)
            keep_campaign(store, campaign)
    return Summary(
        len(campaign.specs), len(todo.finished), tally.done, tuple(tally.failed),
        tuple(run_name(spec) for spec in todo.damaged), monotonic() - began, count,
    )  # fmt: skip


def compare_data(plan: Plan, data_dir: Path | None, say: Callable[[str], None] | None) -> None:
    """UserError where a finished sweep is asked for with other data; without a folder no others can be meant."""
    if data_dir is not None and plan.known:
        from unilth.sims.preflight import same_data  # slow to import

        same_data(plan.known, data_dir, say)


def _check_own(record: Record, root: Path) -> None:
    for part in ("network", "score"):
        then = record.get(part)
        if not isinstance(then, Mapping) or then.get("kind") != "imported":
            continue
        from unilth.sims import networks, own_score  # slow to import

        origin = networks.origin if part == "network" else own_score.origin
        try:
            now = origin(str(then["name"]))
        except UserError:
            continue  # gone: what is finished stays, and what is left is refused before it runs
        if now["sha256"] != then.get("sha256"):
            raise UserError(
                f"the {part} {then['name']!r} is another than when the finished runs in {root} were done: give another "
                "folder, or put it back as it was"
            )


def keep_campaign(store: Store, campaign: Campaign) -> None:
    """Keep the campaign's text beside its runs: readers then know which runs belong to it and which are missing.

    Not before it is known that they can be done: a table of what is there would miss the runs of a refused one.
    """
    write_whole(store.root / "campaigns" / f"{campaign.name}.toml", campaign.text)


def usual(device: str) -> int:
    """How many workers a sweep has if nobody says: one a core, on GPUs no more than keep these busy."""
    return min(cores(), BUSY * gpus(device)) or cores()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
