"""Judging on instances: scope follows the hypotheses, the first failure is the counterexample, silence is no proof."""

from unilth.theory.evidence import Level, Statement
from unilth.theory.verdicts import judged, shown, witnessed

HYPOTHESES = {"even": lambda n: n % 2 == 0, "small": lambda n: n < 10}


def claim(n: int, statement: Statement):
    return n % int(statement.value("DIVISOR")) == 0, f"{n} mod {statement.value('DIVISOR')}"


def statement(divisor: str, *assumptions: str) -> Statement:
    return Statement({"DIVISOR": divisor}, frozenset(assumptions))


def test_only_instances_that_meet_the_hypotheses_count():
    evidence = judged("even", statement("2", "even", "small"), [2, 3, 4, 12], HYPOTHESES, claim)
    assert evidence.holds is True
    assert evidence.scope.startswith("2 instances")


def test_a_dropped_hypothesis_lets_the_counterexample_in():
    evidence = judged("even", statement("2", "small"), [2, 3, 4], HYPOTHESES, claim)
    assert evidence.holds is False
    assert evidence.scope == "the instance 3"
    assert evidence.detail == "3 mod 2"


def test_a_moved_constant_is_judged_on_the_same_instances():
    assert judged("even", statement("4", "even", "small"), [2, 4], HYPOTHESES, claim).holds is False


def test_nothing_in_scope_is_undecided():
    evidence = judged("even", statement("2", "even", "small"), [3, 12], HYPOTHESES, claim)
    assert evidence.holds is None
    assert "no instance" in evidence.detail


def test_undecided_never_becomes_true_but_a_failure_wins():
    def shaky(n: int, _: Statement):
        return (None if n == 2 else n == 4), "?"

    assert judged("x", statement("2"), [2, 4], HYPOTHESES, shaky).holds is None
    assert judged("x", statement("2"), [2, 6, 4], HYPOTHESES, shaky).holds is False


def test_levels_and_witnesses():
    assert shown("x", True, "s").level is Level.SYMBOLIC
    assert shown("x", False, "s").holds is False
    assert witnessed(12, HYPOTHESES).met == {"even": True, "small": False}
