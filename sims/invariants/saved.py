"""Saved tickets: a `ticket.safetensors` with its `ticket.json`, checked without a network. The file is not trusted."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from unilth.errors import UserError
from unilth.sims import zoo
from unilth.sims.bits import finite, plain, same_bits
from unilth.sims.invariants.cases import pruned_count
from unilth.sims.invariants.invariant import Case, Invariant, Plan, Subject, fail
from unilth.sims.layer_budgets import BUDGETS
from unilth.sims.recipe import Recipe
from unilth.sims.spec import RunSpec
from unilth.sims.tickets import Ticket, listed, read_facts, read_tensors, short

KIND = "saved-ticket"
NAMES = ("ticket-names",)
MOST_LAYERS = 1000  # whose shares are dealt out: a file may have so many that it would take for ever


@dataclass(frozen=True)
class SavedTicket:
    """What a ticket's two files hold: the facts, and the tensors as they lie in the file."""

    kind: ClassVar[str] = KIND
    path: Path
    facts: dict[str, Any]
    tensors: dict[str, Tensor] = field(repr=False)

    def part(self, name: str) -> dict[str, Tensor]:
        """The state saved under "weights" or "initial"."""
        head = f"{name}/"
        return {key[len(head) :]: value for key, value in self.tensors.items() if key.startswith(head)}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes that the facts give for the mask."""
        return {name: tuple(shape) for name, shape in self.facts["mask"].items()}

    @property
    def spec(self) -> RunSpec | None:
        """The run that found the ticket, where the facts give it."""
        return None if self.facts["spec"] is None else RunSpec.from_dict(self.facts["spec"])

    def mask(self) -> dict[str, Tensor]:
        """The mask, one bit for each weight along the sorted names, most significant bit first."""
        packed = self.tensors["mask"]
        bits = ((packed[:, None] >> torch.arange(7, -1, -1, dtype=torch.uint8)) & 1).bool().reshape(-1)
        answer, start = {}, 0
        for name, shape in sorted(self.shapes.items()):
            size = math.prod(shape)
            answer[name] = bits[start : start + size].reshape(shape)
            start += size
        return answer


def open_ticket(path: Path) -> SavedTicket:
    """Read both files as `Ticket.load` does; UserError if they are missing, truncated, oversized or no ticket's."""
    if os.path.isdir(path):  # unlike Path's own this takes names that no file can have
        raise UserError(f"target {str(path)!r} is a folder; name the file ticket.safetensors in it")
    if not os.path.exists(path):
        raise UserError(f"target {str(path)!r}: there is no such file")
    tensors = read_tensors(path)
    return SavedTicket(path, read_facts(path.parent), tensors)


def check_names(subject: Subject, case: Case) -> None:
    """Weights, initial weights and mask belong together."""
    ticket: SavedTicket = subject.claims
    weights, initial = ticket.part("weights"), ticket.part("initial")
    whole = {"mask"} | {f"{part}/{name}" for part in ("weights", "initial") for name in {**weights, **initial}}
    odd = [f"{short(name)} is missing" for name in sorted(whole - set(ticket.tensors))]
    odd += [f"{short(name)} is no part of one" for name in sorted(set(ticket.tensors) - whole)]
    odd += [] if weights or initial else ["there are no weights"]
    if odd:
        fail(got=f"tensors beyond or short of a ticket's ({listed(odd)})", expected="mask, weights/..., initial/...")
    for name, weight in weights.items():
        if weight.shape != initial[name].shape:
            shapes = [short(tuple(value.shape)) for value in (weight, initial[name])]
            fail(got=f"{short(name)} of shape {shapes[0]}, at first {shapes[1]}", expected="one shape")
    for name, shape in ticket.shapes.items():
        if name not in weights or tuple(weights[name].shape) != shape:
            fail(
                got=f"a mask of {short(name)} with shape {short(shape)}", expected="a mask in the shape of its weights"
            )
    packed, size = ticket.tensors["mask"], sum(map(math.prod, ticket.shapes.values()))
    if packed.dtype != torch.uint8 or packed.dim() != 1 or len(packed) != math.ceil(size / 8):
        fail(
            got=f"a mask of the shape {short(tuple(packed.shape))} in {packed.dtype}",
            expected=f"one row of {math.ceil(size / 8)} bytes (torch.uint8), one bit a weight",
        )
    spare = 8 * len(packed) - size
    if spare and int(packed[-1]) & ((1 << spare) - 1):
        fail(got="padding bits of the mask that are not 0", expected="0 after the last weight")


def check_dtypes(subject: Subject, case: Case) -> None:
    """Masked weights are floating point, and each tensor has one dtype before and after training."""
    ticket: SavedTicket = subject.claims
    initial = ticket.part("initial")
    for name, weight in ticket.part("weights").items():
        if name in ticket.shapes and not weight.is_floating_point():
            fail(got=f"{short(name)} of dtype {weight.dtype}", expected="a floating dtype for weights that are masked")
        if weight.dtype != initial[name].dtype:
            fail(got=f"{short(name)} of dtype {weight.dtype}, at first {initial[name].dtype}", expected="one dtype")


def check_finite(subject: Subject, case: Case) -> None:
    """No NaN; infinity only where there is no mask and training changed no bit, as in a causal mask."""
    ticket: SavedTicket = subject.claims
    initial = ticket.part("initial")
    for name, weight in ticket.part("weights").items():
        start = initial[name]
        after = finite(weight)
        if after and finite(start):
            continue
        if name in ticket.shapes or bool(torch.isnan(plain(start)).any()) or not same_bits(start, weight):
            part = "initial" if after else "weights"
            fail(got=f"NaN or infinity in {short(f'{part}/{name}')}", expected="finite values")


def check_zeros(subject: Subject, case: Case) -> None:
    """Pruned weights are exactly 0."""
    ticket: SavedTicket = subject.claims
    weights = ticket.part("weights")
    for name, kept in ticket.mask().items():
        alive = int(plain(weights[name])[~kept.reshape(-1)].count_nonzero())
        if alive:
            fail(got=f"{alive} pruned weights of {short(name)} are not 0", expected="all exactly 0")


def check_sparsity(subject: Subject, case: Case) -> None:
    """The counted sparsity is counted, and the nominal one is what was asked: exactly, where a spec tells how."""
    ticket: SavedTicket = subject.claims
    mask, stated, spec = ticket.mask(), ticket.facts["sparsity"], ticket.spec
    nominal, written = stated["nominal"], stated.get("counted")
    n, gone = sum(kept.numel() for kept in mask.values()), sum(int((~kept).sum()) for kept in mask.values())
    counted = gone / max(n, 1)
    if isinstance(written, bool) or written != counted:
        fail(got=f"{short(written)} stated, {gone} of {n} pruned", expected=f"{counted!r} stated as counted")
    if spec is not None and spec.sparsity != nominal:
        fail(got=f"{short(nominal)} stated as nominal", expected=f"{spec.sparsity!r}, as its spec states")
    recipe = None if spec is None else _recipe(spec)
    if ticket.facts["recipe"] == "dense" if recipe is None else recipe.rounds.number == 0:
        if gone:
            fail(got=f"{gone} of {n} pruned", expected="none, as its recipe is 'dense'")
    elif nominal and not n:
        fail(got="a mask of no layer", expected=f"one that prunes, for the nominal sparsity {short(nominal)}")
    elif recipe is None:
        least, most = sum(pruned_count(nominal, kept.numel()) for kept in mask.values()), pruned_count(nominal, n)
        least = least if ticket.facts["recipe"] else 0  # a recipe without a name may spare layers, or be dense
        if not least <= gone <= most:
            fail(got=f"{gone} of {n} pruned", expected=f"{most} for the nominal sparsity {short(nominal)}")
    else:
        _judge_counts(recipe, nominal, mask)


def _recipe(spec: RunSpec) -> Recipe | None:
    """The recipe of a spec; None for one that is not of this zoo.

    A score of the user's own is replaced: looking it up would run what the file names.
    """
    if spec.recipe not in zoo.NAMES:
        return None
    own = spec.score is not None and ":" in spec.score
    try:
        return zoo.recipe(dataclasses.replace(spec, score="magnitude") if own else spec)
    except UserError as error:
        fail(got=f"the spec of no run that there can be: {short(str(error))}", expected="one that `unilth find` takes")


def _judge_counts(recipe: Recipe, nominal: float, mask: dict[str, Tensor]) -> None:
    """Fail unless the recipe prunes as many weights as the mask does, of all or of each layer.

    Where the ends are spared, the file does not tell which layers they are: one convolution (3 dimensions and more) and
    one linear layer (2), of those that the network has, must be dense, and the rest pruned as asked.
    """
    size = {name: kept.numel() for name, kept in mask.items()}
    gone = {name: int((~kept).sum()) for name, kept in mask.items()}
    n, pruned, scope = sum(size.values()), sum(gone.values()), recipe.mask.scope
    ends: list[list[str]] = []
    for kind, dims in (("convolution", range(3, 65)), ("linear layer", range(2, 3))) if recipe.mask.spare else ():
        layers = [name for name, kept in mask.items() if kept.dim() in dims]
        ends += [[name for name in layers if not gone[name]]] if layers else []
        if layers and not ends[-1]:
            fail(got=f"no {kind} that is dense", expected="one, as its spec spares both ends")
    if scope == "layer":
        wanted = {name: pruned_count(nominal, count) for name, count in size.items()}
        for end in ends:
            wanted |= dict.fromkeys([name for name in end if wanted[name]][:1], 0)
        _same_counts(gone, wanted, nominal)
        return
    spared = {sum(sizes) for sizes in itertools.product(*({size[name] for name in end} for end in ends))}
    possible = sorted({pruned_count(nominal, n - dense) for dense in spared})
    if pruned not in possible:
        wanted_text = listed([str(count) for count in possible])
        fail(got=f"{pruned} of {n} pruned", expected=f"{wanted_text} for the nominal sparsity {short(nominal)}")
    if scope in BUDGETS and recipe.rounds.number == 1 and not ends and len(mask) <= MOST_LAYERS:
        kept = BUDGETS[scope]({name: tuple(value.shape) for name, value in mask.items()}, n - pruned)
        _same_counts(gone, {name: size[name] - kept[name] for name in mask}, nominal)


def _same_counts(gone: dict[str, int], wanted: dict[str, int], nominal: float) -> None:
    for name, count in gone.items():
        if count != wanted[name]:
            share = f"{wanted[name]}, its share of the nominal sparsity {short(nominal)}"
            fail(got=f"{count} pruned in {short(name)}", expected=share)


def check_digest(subject: Subject, case: Case) -> None:
    """The digest is that of mask, weights and initial weights; recipe and network are those of the spec."""
    ticket: SavedTicket = subject.claims
    digest = Ticket(ticket.mask(), ticket.part("weights"), ticket.part("initial")).digest()
    if digest != ticket.facts["digest"]:
        fail(got=f"tensors with the digest {short(digest)}", expected=f"{short(ticket.facts['digest'])}, as stated")
    for key in ("recipe", "network") if ticket.spec else ():
        stated, meant = ticket.facts[key], getattr(ticket.spec, key)
        if stated != meant:
            fail(got=f"the {key} {short(stated)}", expected=f"{short(meant)}, as its spec states")


def whole(claims: Any, plan: Plan) -> Iterator[Case]:
    """One case: the file."""
    yield {"file": claims.path.name}


def _row(id: str, statement: str, why: str, check: Any, needs: tuple[str, ...] = NAMES) -> Invariant:
    return Invariant(id, KIND, statement, why, check, whole, needs=needs)


SAVED = (
    _row(
        "ticket-names",
        "The file holds a mask, weights and initial weights that belong together, and nothing else.",
        "torch.nn.utils.prune renames weights, torch's sparsifiers cannot load what they saved",
        check_names,
        needs=(),
    ),
    _row(
        "ticket-dtypes",
        "Masked weights are floating point, and keep their dtype from initialisation to the end.",
        "a ticket saved in half precision loads, and its rewound weights are others than those it was trained from",
        check_dtypes,
    ),
    _row(
        "ticket-finite",
        "All values are finite, except for infinities outside the mask that were there at initialisation, bit for bit.",
        "a run that diverged is averaged into a table as chance accuracy",
        check_finite,
    ),
    _row(
        "ticket-zeros",
        "Pruned weights are exactly 0.",
        "open_lth masks before the forward pass, so the saved file has sparsity 0",
        check_zeros,
    ),
    _row(
        "ticket-sparsity",
        "The stated sparsities are those of the mask.",
        "nominal and counted differ where layers stay dense: DLTH's 0.70 is 0.694, its 0.98 is 0.972",
        check_sparsity,
    ),
    _row(
        "ticket-digest",
        "The stated digest is that of the tensors, and the stated recipe and network are those of the spec.",
        "weights swapped or facts edited after the run was recorded",
        check_digest,
        needs=(*NAMES, "ticket-zeros"),
    ),
)
