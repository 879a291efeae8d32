"""Invariants of ticket finders, part 1: what the answer holds, judged after the run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from unilth.sims.invariants.cases import pruned_count
from unilth.sims.invariants.finder_run import Run, equal_states, masked, run, state_of
from unilth.sims.invariants.finder_state import check_self_contained, held_at_zero
from unilth.sims.invariants.invariant import Case, Invariant, NotJudged, Plan, Subject, fail
from unilth.sims.invariants.observe import State

KIND = "ticket-finder"
FORM = ("finder-form",)


def finder_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """An MLP and a convolutional network with batch norm; from budget standard a residual network and float64."""
    names = ["mlp", "conv"]
    if plan.budget != "quick":
        names += ["residual", "float64"]
    for name in names:
        yield {"problem": name, "sparsity": 0.73, "seed": plan.seed % 1000}
    if plan.budget == "thorough":
        for sparsity in (0.29, 0.9, 0.98):
            yield {"problem": "mlp", "sparsity": sparsity, "seed": plan.seed % 1000}


def sparsity_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Also where people prune, where floats go wrong over all 1,760 weights or in a layer, and anywhere."""
    yield from finder_cases(claims, plan)
    # In floats 0.575 * 1760 is 1011.99..., and (1 - 0.95) * 1280 is 64.00...: rounded up, 65 are kept.
    asked = [0.95, 0.575, plan.random("finder sparsity").randrange(50, 980) / 1000]
    asked += [0.9, 0.98, 0.29, 0.05] if plan.budget == "standard" else [0.05] if plan.budget == "thorough" else []
    for sparsity in asked:
        yield {"problem": "mlp", "sparsity": sparsity, "seed": plan.seed % 1000}


def first_case(claims: Any, plan: Plan) -> Iterator[Case]:
    """The smallest problem only, for invariants that need more runs."""
    yield {"problem": "mlp", "sparsity": 0.73, "seed": plan.seed % 1000}


def check_form(subject: Subject, case: Case) -> None:
    """A mask of booleans, and two states that fit the network and are finite."""
    seen = run(subject, case)
    shapes = {name: value.shape for name, value in seen.given.items()}
    for name, kept in state_of(seen.result, "mask").items():
        if kept.dtype != torch.bool:
            fail(got=f".mask[{name!r}] of dtype {kept.dtype}", expected="torch.bool, True = kept")
        if shapes.get(name) != kept.shape:
            fail(
                got=f".mask[{name!r}] of shape {tuple(kept.shape)}",
                expected=f"the network's {tuple(shapes.get(name, ()))}",
            )
    for part in ("weights", "initial"):
        for name, value in state_of(seen.result, part).items():
            if name not in shapes or value.shape != shapes[name]:
                fail(
                    got=f".{part}[{name!r}] of shape {tuple(value.shape)}",
                    expected="the names and shapes of the network",
                )
            if value.dtype != seen.given[name].dtype:
                fail(
                    got=f".{part}[{name!r}] of dtype {value.dtype}", expected=f"the network's {seen.given[name].dtype}"
                )
            if not bool(torch.isfinite(value).all()):
                fail(got=f".{part}[{name!r}] holds NaN or infinity", expected="finite values")
        wanted = set(seen.names) if part == "weights" else set(seen.given)  # finder-self-contained loads .weights
        missing = sorted(wanted - set(state_of(seen.result, part)))
        if missing:
            fail(got=f".{part} without {', '.join(missing)}", expected="every tensor of the network's state_dict")


def check_prunable_only(subject: Subject, case: Case) -> None:
    """Nothing but weights of Linear and Conv layers is masked, and each of them is."""
    seen = run(subject, case)
    tied = {name for name in seen.given if name.endswith("third.weight")}
    odd = sorted(name for name in set(seen.mask) - set(seen.names) - tied if bool((~seen.mask[name]).any()))
    if odd:
        fail(got=f"{', '.join(odd)} pruned", expected="weights of Linear and Conv layers only")
    frozen = {name for name, parameter in seen.network.named_parameters() if not parameter.requires_grad}
    missing = sorted(set(seen.names) - set(seen.mask) - frozen)
    if missing:
        fail(
            got=f"no mask for {', '.join(missing)}",
            expected="a mask for every weight of a Linear or Conv layer (all True where it stays dense)",
        )


def check_sparsity(subject: Subject, case: Case) -> None:
    """floor(sparsity x n), over the declared scope; where none is declared, between the two ways of rounding."""
    seen, sparsity = run(subject, case), case["sparsity"]
    sizes = {name: kept.numel() for name, kept in seen.mask.items() if name in seen.names}
    gone = {name: int((~seen.mask[name]).sum()) for name in sizes}
    by_layer = {name: pruned_count(sparsity, size) for name, size in sizes.items()}
    if subject.claims.scope == "layer":
        for name, wanted in by_layer.items():
            if gone[name] != wanted:
                fail(
                    got=f"{gone[name]} of {sizes[name]} pruned in {name!r}", expected=f"{wanted}, floor({sparsity} x n)"
                )
        return
    n, total = sum(sizes.values()), sum(gone.values())
    most = pruned_count(sparsity, n)
    least = most if subject.claims.scope == "global" else sum(by_layer.values())
    if not least <= total <= most:
        fail(got=f"{total} of {n} pruned", expected=f"{most} = floor({sparsity} x {n})")


def check_zero(subject: Subject, case: Case) -> None:
    """Pruned weights are exactly 0 in the answer."""
    seen = run(subject, case)
    for name, kept in seen.mask.items():
        alive = int(seen.result.weights[name][~kept].count_nonzero())
        if alive:
            fail(got=f"{alive} pruned weights of {name!r} are not 0", expected="all exactly 0")


def check_initial(subject: Subject, case: Case) -> None:
    """`.initial` is a state that training started from: the network's as given, or as it or a candidate first learned.

    Buffers may be those of the given state or of the first start as well. Of weights that were cut off before a network
    was first trained only the others are known.
    """
    seen = run(subject, case)
    starts, initial = seen.starts(), state_of(seen.result, "initial")
    first = [seen.given, *[start for start in starts if start is not seen.given][:1]]

    def same(name: str, start: State) -> bool:
        then = start[name].to(initial[name].dtype)
        cut = (then == 0) & ~seen.mask[name] if name in seen.mask else torch.zeros_like(then, dtype=torch.bool)
        return then.shape == initial[name].shape and bool(((initial[name] == then) | cut).all())

    def differing(start: State) -> list[str]:
        others = {name: [start] if name in seen.learnable else [start, *first] for name in seen.given}
        return [name for name in seen.given if not any(same(name, other) for other in others[name])]

    wrong = min(map(differing, starts), key=len)
    if wrong and not any(event.learns for event in seen.events):
        raise NotJudged("no training was seen, so where it started is not known")
    if wrong:
        trained = equal_states(initial, seen.result.weights, seen.names)
        what = "the weights after training" if trained else "neither the given nor the first trained weights"
        fail(got=f".initial holds {what} in {', '.join(wrong)}", expected="the values that training started from")


def check_own_memory(subject: Subject, case: Case) -> None:
    """The parts of the answer share no memory with each other or with the caller's network."""
    seen = run(subject, case)
    parts = {
        "the caller's network": seen.network.state_dict(), ".weights": state_of(seen.result, "weights"),
        ".initial": state_of(seen.result, "initial"),
    }  # fmt: skip
    owners: dict[int, tuple[str, str]] = {}
    for part, tensors in parts.items():
        for name, value in tensors.items():
            owner = owners.setdefault(value.untyped_storage().data_ptr(), (part, name))
            if owner[0] != part and value.numel():
                fail(
                    got=f"{part}[{name!r}] shares memory with {owner[0]}",
                    expected="copies, so that later training is harmless",
                )


def check_untouched(subject: Subject, case: Case) -> None:
    """The caller's network is as it was: values, buffers, modes, what is learned, no gradients or hooks left."""
    seen = run(subject, case)
    now = seen.network.state_dict()
    if list(now) != list(seen.given):
        fail(
            got=f"the network's state has the keys {sorted(set(now) ^ set(seen.given))} more or less",
            expected="the same keys",
        )
    changed = [name for name in seen.given if not torch.equal(now[name], seen.given[name])]
    if changed:
        fail(got=f"the caller's network was changed: {', '.join(changed)}", expected="a copy to be trained")
    modes = {name: module.training for name, module in seen.network.named_modules()}
    if modes != seen.modes:
        fail(got="the caller's network was switched between training and evaluation", expected="the mode it had")
    now_learnable = {name: parameter.requires_grad for name, parameter in seen.network.named_parameters()}
    if now_learnable != seen.learnable:
        fail(got="requires_grad of the caller's parameters was changed", expected="as it was")
    left = [name for name, parameter in seen.network.named_parameters() if parameter.grad is not None]
    if left:
        fail(got=f"gradients are left on {', '.join(left)} of the caller's network", expected="none, as before")
    if any(module._forward_hooks or module._forward_pre_hooks for module in seen.network.modules()):
        fail(got="hooks are left on the caller's network", expected="none, as before")


def check_data(subject: Subject, case: Case) -> None:
    """The caller's data is as it was."""
    seen = run(subject, case)
    for split in ("train", "validation"):
        for what, now, then in zip(
            ("inputs", "labels"), getattr(seen.data, split), getattr(seen.pristine, split), strict=True
        ):
            if not torch.equal(now, then):
                fail(got=f"data.{split} {what} were changed in place", expected="data as given")


def check_no_empty_layer(subject: Subject, case: Case) -> None:
    """Every layer keeps a weight."""
    empty = [name for name, kept in run(subject, case).mask.items() if not bool(kept.any())]
    if empty:
        fail(got=f"no weight left in {', '.join(empty)}", expected="at least one in every layer")


def check_nested(subject: Subject, case: Case) -> None:
    """The masks of the rounds only lose weights, and the last is the ticket's."""
    seen = run(subject, case)
    masks = round_masks(seen)
    for number, (before, after) in enumerate(itertools.pairwise(masks), start=1):
        revived = sum(int((after[name] & ~before[name]).sum()) for name in after)
        if revived:
            fail(
                got=f"{revived} weights pruned in round {number} are kept in round {number + 1}",
                expected="nested masks",
            )
    if not all(torch.equal(masks[-1][name], kept) for name, kept in seen.mask.items()):
        fail(got="the last of .masks differs from .mask", expected="the same mask")


def round_masks(seen: Run) -> list[State]:
    """The masks of the rounds, ``.masks`` of the answer; a violation if one has not the form of the ticket's."""
    masks = getattr(seen.result, "masks", None)
    if masks is None or (isinstance(masks, list | tuple) and not masks):
        fail(got="no .masks in the answer", expected=".masks, the mask of each round, as nested=True claims")
    if not isinstance(masks, list | tuple):
        fail(got=f".masks of type {type(masks).__name__}", expected="a list with the mask of each round")
    for number, mask in enumerate(masks, start=1):
        fits = isinstance(mask, dict) and set(mask) == set(seen.mask)
        for name, kept in seen.mask.items():
            fits = fits and isinstance(mask[name], Tensor) and mask[name].dtype == torch.bool
            fits = fits and mask[name].shape == kept.shape
        if not fits:
            fail(
                got=f"the mask of round {number} differs from .mask in type, names, shapes or dtype",
                expected="a dict of boolean tensors for the same weights in every round",
            )
    return list(masks)


def check_dense(subject: Subject, case: Case) -> None:
    """At sparsity 0 nothing is pruned, no weight is held at 0, and the answer is trained if others are."""
    seen: Run = run(subject, case)
    for name, kept in seen.mask.items():
        if not bool(kept.all()):
            fail(got=f"{int((~kept).sum())} weights of {name!r} pruned at sparsity 0", expected="none")
    for name, zeros in held_at_zero(seen).items():
        fail(got=f"{zeros} weights of {name!r} are exactly 0 at sparsity 0", expected="a dense network")
    if equal_states(seen.result.weights, state_of(seen.result, "initial"), seen.names):
        pruned = run(subject, case, sparsity=0.73)
        start = masked(state_of(pruned.result, "initial"), pruned.mask)
        if not equal_states(masked(pruned.result.weights, pruned.mask), start, seen.names):
            fail(got=".weights are .initial at sparsity 0, and are not at sparsity 0.73", expected="dense training")


def dense_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Sparsity 0."""
    yield {"problem": "mlp", "sparsity": 0.0, "seed": plan.seed % 1000}


def steep_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Also a sparsity at which global rankings empty layers."""
    yield from first_case(claims, plan)
    yield {"problem": "mlp", "sparsity": 0.98, "seed": plan.seed % 1000}


def claim(name: str, wanted: Any = True) -> Any:
    """Excuse: needs a claim."""
    return lambda claims: "" if getattr(claims, name) == wanted else f"does not claim {name}={wanted!r}"


def _row(id: str, statement: str, why: str, check: Any, cases: Any = finder_cases, **more: Any) -> Invariant:
    return Invariant(id, KIND, statement, why, check, cases, **{"needs": FORM, **more})


FINDER_RESULT = (
    _row(
        "finder-form",
        "The answer has a boolean mask and two finite states that fit the network in names, shapes and dtypes.",
        "torch.nn.utils.prune changes the state's keys, so that its tickets load into no dense network",
        check_form,
        needs=(),
    ),
    _row(
        "finder-prunable-only",
        "Weights of Linear and Conv layers are masked, each of them, and nothing else.",
        "shrinkbench and Lightning's default prune biases; a popular LTH script prunes batch-norm scales",
        check_prunable_only,
    ),
    _row(
        "finder-exact-sparsity",
        "Exactly floor(sparsity x n) weights are pruned, the sparsity read as the decimal that it is written as.",
        "the sparsity asked is not the sparsity got: open_lth, shrinkbench, Torch-Pruning, DLTH, llm-compressor",
        check_sparsity,
        sparsity_cases,
        needs=(*FORM, "finder-prunable-only"),
    ),
    _row(
        "finder-zero-in-result",
        "Pruned weights are exactly 0 in the answer.",
        "open_lth masks before the forward pass, so the file it saves has sparsity 0",
        check_zero,
    ),
    _row(
        "finder-initial-is-initial",
        "`.initial` holds the values that training started from.",
        "a popular LTH script aliases the saved initial state, and training changes it",
        check_initial,
    ),
    _row(
        "finder-own-memory",
        "The parts of the answer share no memory with each other or with the caller's network.",
        "state_dict() without a copy: the ticket changes when the network is trained on",
        check_own_memory,
    ),
    _row(
        "finder-network-untouched",
        "The caller's network keeps its values, buffers and modes; no gradient or hook is left on it.",
        "a comparison of several finders on 'the same' initial network, each of which trained it a bit",
        check_untouched,
    ),
    _row(
        "finder-data-untouched",
        "The caller's data keeps its values.",
        "normalising in place: the second run sees data normalised twice",
        check_data,
    ),
    _row(
        "finder-no-empty-layer",
        "Every layer keeps at least one weight.",
        "global magnitude, SNIP, GraSP and one-shot SynFlow empty whole layers at extreme sparsity without a word",
        check_no_empty_layer,
        steep_cases,
        excuse=claim("no_empty_layer"),
    ),
    _row(
        "finder-nested",
        "The masks of the rounds only lose weights, and the last is the ticket's.",
        "SynFlow's loops revive weights; DLTH's iterative random mask recovers the last cycle by smallest magnitude",
        check_nested,
        excuse=claim("nested"),
        theorem="T8.3",
    ),
    _row(
        "finder-self-contained",
        "`.weights` load into a fresh network and are one state that training came to, buffers included.",
        "parameters restored from the best epoch and batch-norm statistics left from the last one",
        check_self_contained,
        needs=(*FORM, "finder-zero-in-result"),
    ),
    _row(
        "finder-sparsity-zero",
        "At sparsity 0 nothing is pruned, no weight is held at 0, and training is as dense as anywhere.",
        "open_lth prunes one weight at sparsity 0, so its dense baseline is not dense",
        check_dense,
        dense_cases,
        needs=(*FORM, "finder-prunable-only"),
    ),
)
