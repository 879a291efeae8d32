"""`check`: runs the catalogue on one target, prerequisites first, and reports."""

from __future__ import annotations

import json
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Any

from unilth.errors import UserError
from unilth.sims.invariants.catalogue import catalogue, find_invariant
from unilth.sims.invariants.invariant import ENDS, Case, Invariant, NotJudged, Plan, Subject, Violation, first_line
from unilth.sims.invariants.replayed import refuse_odd
from unilth.sims.invariants.report import INTERRUPTED, Report, Row
from unilth.sims.invariants.search import judge, smallest, violated
from unilth.sims.invariants.settings import the_kits
from unilth.sims.invariants.targets import Loaded, importable, load


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with the report of what had been judged by then."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report = report


HOLDS = ("passed", "not-applicable", "unexpected-pass")


class Session:
    """One target, one plan: runs invariants on demand and remembers their rows (so prerequisites run once)."""

    def __init__(
        self,
        target: object,
        plan: Plan,
        expected_failures: Mapping[str, str] | None = None,
        *,
        search: bool = True,
    ) -> None:
        self.search = search  # False: explicit cases only, no search for smaller ones
        self.loaded: Loaded = load(target)
        self.kind = self.loaded.claims.kind
        self.subject = Subject(self.loaded.call, self.loaded.claims, plan)
        if not isinstance(expected_failures, Mapping | None):
            raise UserError(f"expected_failures={expected_failures!r} must be a dict, {{id: reason}}")
        self.expected = dict(expected_failures or {})
        for id, reason in self.expected.items():
            find_invariant(str(id), self.kind, "expected failure")
            if not isinstance(reason, str) or not reason.strip():
                raise UserError(f"expected failure {id!r} needs a reason: give it as text")
        self.rows: dict[str, Row] = {}

    def row(self, invariant: Invariant) -> Row:
        """The outcome of one invariant; what it needs is run first."""
        if invariant.id not in self.rows:
            with importable(self.loaded.folder), the_kits():
                self.rows[invariant.id] = self._run(invariant)
        return self.rows[invariant.id]

    def _run(self, invariant: Invariant) -> Row:
        excuse = invariant.excuse(self.subject.claims)
        if excuse:
            return self._row(invariant, "not-applicable", note=excuse)
        for id in invariant.needs:
            if self.row(find_invariant(id, self.kind, "prerequisite")).status not in HOLDS:
                return self._row(invariant, "blocked", note=f"needs {id}, which does not hold")
        started = time.perf_counter()
        tried, unseen = 0, ""
        try:
            for case in invariant.cases(self.subject.claims, self.subject.plan):
                try:
                    bad = violated(invariant, self.subject, case)
                except NotJudged as reason:
                    unseen = str(reason)
                    continue
                tried += 1
                if bad:
                    small, more = self._smallest(invariant)
                    return self._violated(invariant, small or case, tried + more, started)
            if unseen and not tried:
                return self._row(invariant, "not-applicable", note=unseen)
            small, more = self._smallest(invariant)
            tried += more
            if small is not None:
                return self._violated(invariant, small, tried, started)
        except ENDS:
            raise
        except BaseException as error:  # the kit's own failure must be told from the target's
            text = f"{type(error).__name__}: {first_line(error)}"
            return self._row(invariant, "error", tried, started, got=text, expected="the kit to be able to judge")
        return self._good(invariant, tried, started)

    def _smallest(self, invariant: Invariant) -> tuple[Case | None, int]:
        return smallest(invariant, self.subject) if self.search else (None, 0)

    def replay(self, invariant: Invariant, case: Case) -> Row:
        """The outcome of one invariant on one given case; prerequisites are only asked where it cannot be judged."""
        excuse = invariant.excuse(self.subject.claims)
        if excuse:
            return self._row(invariant, "not-applicable", note=excuse)
        refuse_odd(invariant, self.subject.claims, case)
        started = time.perf_counter()
        try:
            if violated(invariant, self.subject, case):
                return self._violated(invariant, case, 1, started)
        except (UserError, *ENDS):
            raise
        except NotJudged as reason:
            return self._row(invariant, "not-applicable", note=str(reason))
        except BaseException as error:
            for id in invariant.needs:
                row = self._prerequisite(find_invariant(id, self.kind, "prerequisite"), case)
                if row is not None:
                    self.rows[id] = row
                    return self._row(invariant, "blocked", note=f"needs {id}, which does not hold")
            raise UserError(
                f"the case {json.dumps(case)[:80]} is none of {invariant.id} ({first_line(error)}): copy it from a "
                "replay line of that invariant"
            ) from None
        return self._good(invariant, 1, started)

    def _prerequisite(self, invariant: Invariant, case: Case) -> Row | None:
        """The row of a prerequisite that this case violates, or None."""
        started = time.perf_counter()
        try:
            return self._violated(invariant, case, 1, started) if violated(invariant, self.subject, case) else None
        except ENDS:
            raise
        except BaseException:  # then it is the case that cannot be used
            return None

    def blocking(self, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        """The rows beyond these that keep some of them blocked, so that a report never hides why."""
        shown = {row.id for row in rows}
        return tuple(row for id, row in self.rows.items() if id not in shown and row.status not in (*HOLDS, "blocked"))

    def left(self, invariant: Invariant) -> Row:
        """The row of an invariant that an interruption came before."""
        return self._row(invariant, "blocked", note=INTERRUPTED)

    def _good(self, invariant: Invariant, tried: int, started: float) -> Row:
        reason = self.expected.get(invariant.id)
        if reason is None:
            return self._row(invariant, "passed", tried, started)
        return self._row(
            invariant, "unexpected-pass", tried, started, note=reason,
            got="it holds", expected=f"a failure, announced as: {reason}",
        )  # fmt: skip

    def _violated(self, invariant: Invariant, case: Case, tried: int, started: float) -> Row:
        try:
            judge(invariant, self.subject, case)
        except Violation as violation:
            if violation.case not in (None, case) and violated(invariant, self.subject, violation.case):
                return self._violated(invariant, violation.case, tried, started)
            got, expected = violation.got, violation.expected
        else:
            got, expected = "a violation once and none on the same case later", "the same answer to the same case"
        reason = self.expected.get(invariant.id)
        return self._row(
            invariant, "violated" if reason is None else "expected", tried, started,
            got=got, expected=expected, case=case, replay=self._line(invariant, case), note=reason,
        )  # fmt: skip

    def _line(self, invariant: Invariant, case: Case) -> str:
        """What to paste to see the violation again: a shell line, or Python where the target has no address."""
        seed, text = self.subject.plan.seed, json.dumps(case)
        if self.loaded.address is None:
            name = self.loaded.name.rpartition(":")[2].rpartition("<locals>.")[2]  # what it is called where it is
            if not name.isidentifier() or name == type(self.loaded.call).__name__:
                name = "target"  # a lambda, a partial, an object of a class: what it is called, nobody knows
            return f"check({name}, only={invariant.id!r}, case={case!r}, seed={seed})"
        address = self.loaded.address
        if address.startswith("-"):  # the name of a file, which would be taken for an option
            address = f"./{address}"
        words = ["unilth", "check", address, "--only", invariant.id, "--case", text, "--seed", str(seed)]
        return shlex.join(words)

    def _row(self, invariant: Invariant, status: str, tried: int = 0, started: float | None = None, **more: Any) -> Row:
        seconds = 0.0 if started is None else round(time.perf_counter() - started, 4)
        return Row(
            invariant.id,
            invariant.statement,
            status,
            tried,
            seconds,
            why=invariant.why,
            theorem=invariant.theorem,
            **more,
        )


def check(
    target: object,
    *,
    budget: str = "standard",
    seed: int = 0,
    only: str | Iterable[str] | None = None,
    case: Case | str | None = None,
    expected_failures: Mapping[str, str] | None = None,
    done: Callable[[Row, int, int], None] | None = None,
) -> Report:
    """Check a mask rule, a penalty schedule or a ticket finder against the invariants that it claims.

    Args:
        target: a decorated function, or the text ``package.module:name`` or ``path/to/file.py:name``.
        budget: "quick", "standard" or "thorough": how many cases, which networks.
        seed: fixes every case that is drawn.
        only: report this invariant (or these) only, and what keeps it blocked.
        case: replay one case, a JSON object or its text; needs ``only`` with one id. One that the invariant is not
            about, and that would blame a target which is right, is refused.
        done: is told each row as it is known, the how many-th it is and of how many.
        expected_failures: ``{id: reason}``; such a failure counts as *expected*, and a pass as *unexpected-pass*.

    Returns:
        Report: ``.ok``, ``.invariants`` (one row each), ``.counts``, ``.to_json()``, ``.to_markdown()``.

    Raises:
        UserError: (a ValueError) if an argument cannot be used; a violation is never raised, it is in the report.
        Interrupted: (a KeyboardInterrupt) with a ``.report`` in which what was not judged by then is *blocked*.
    """
    session = Session(target, Plan(budget, seed), expected_failures)
    chosen = _chosen(only, session.kind)
    if case is not None:
        if len(chosen) != 1 or only is None:
            raise UserError("case replays one invariant: name it with only (--only ID)")
        with importable(session.loaded.folder), the_kits():
            rows: tuple[Row, ...] = (session.replay(chosen[0], _parse(case)),)
    else:
        try:
            for number, invariant in enumerate(chosen, start=1):
                row = _watching(session, invariant)
                if done is not None:
                    done(row, number, len(chosen))
        except KeyboardInterrupt:
            rows = tuple(session.rows.get(invariant.id) or session.left(invariant) for invariant in chosen)
            raise Interrupted(Report(session.loaded.name, session.kind, budget, seed, rows)) from None
        rows = tuple(session.rows[invariant.id] for invariant in chosen)
    rows += session.blocking(rows)
    return Report(session.loaded.name, session.kind, budget, seed, rows)


def _watching(session: Session, invariant: Invariant) -> Row:
    """Its row; a Ctrl-C that the target caught for itself is raised after it, and what was judged with it forgotten."""
    standard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not standard or threading.current_thread() is not threading.main_thread():
        return session.row(invariant)
    came, known = [], set(session.rows)
    again: list[threading.Timer] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if frame is not None and frame.f_code.co_name == "gc_callback":
            # Hypothesis counts the time of garbage collection in one, out of which Python lets no exception come.
            again.append(threading.Timer(0.01, signal.raise_signal, [number]))
            again[-1].start()
            return
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        row = session.row(invariant)
    finally:
        for timer in again:
            timer.cancel()
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if came:
        for id in set(session.rows) - known:
            del session.rows[id]
        raise KeyboardInterrupt
    return row


def _chosen(only: str | Iterable[str] | None, kind: str) -> tuple[Invariant, ...]:
    """The invariants to report, each once."""
    if only is None:
        return catalogue(kind)
    ids = [only] if isinstance(only, str) else list(only) if isinstance(only, Iterable) else [only]
    if not all(isinstance(id, str) for id in ids):
        raise UserError(f"only={only!r} must be an id of the catalogue, or several")
    if not ids:
        raise UserError(
            f"only={only!r} names no invariant, so that nothing would be checked: name one, or leave it out"
        )
    return tuple(find_invariant(id, kind, "only") for id in dict.fromkeys(ids))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, in which no field is given twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it has {next(name for name in names if names.count(name) > 1)!r} twice")
    return found


def _parse(case: Case | str) -> Case:
    """The case as plain JSON: numbers are finite, so that it can be printed and pasted again."""
    try:
        found = json.loads(case, object_pairs_hook=_once) if isinstance(case, str) else case
        json.dumps(found, allow_nan=False)
        if not isinstance(found, dict):
            raise TypeError(f"it is of the type {type(found).__name__}")
    except (ValueError, TypeError, RecursionError) as error:
        text = case if isinstance(case, str) else repr(case)
        raise UserError(
            f"case {text[:80]!r} is no JSON object ({first_line(error)}); quote it as the replay line does"
        ) from None
    return found
