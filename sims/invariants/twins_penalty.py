"""More broken ticket finders: what a penalty presses on, and what stopping looks at."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from unilth.sims.invariants.declarations import ticket_finder
from unilth.sims.invariants.ranking import shuffled
from unilth.sims.invariants.reference import PressedTicket, State, StoppedTicket, ramp
from unilth.sims.invariants.twin import Twin
from unilth.sims.invariants.twins_finder import PRESSED


@PRESSED
class PressesOnBiases(PressedTicket):
    def before_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.press_step >= 0:
            for parameter in self.network.parameters():
                if parameter.dim() == 1 and parameter.grad is not None:
                    parameter.grad.add_(self.schedule(self.press_step) * parameter.detach())
        super().before_step(optimizer)


@PRESSED
class PressesByL1(PressedTicket):
    def before_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.press_step >= 0:
            for name, weight in self.prunable().items():
                if weight.grad is not None:
                    weight.grad.add_(self.schedule(self.press_step) * weight.detach().sign() * self.goes[name])
            self.press_step += 1


@PRESSED
class PressesOnOneLayer(PressedTicket):
    def pressed(self, name: str) -> Tensor:
        return self.goes[name] & torch.tensor(name.startswith("first"))


@PRESSED
class PressesOnHalf(PressedTicket):
    def pressed(self, name: str) -> Tensor:
        half = torch.zeros_like(self.goes[name]).reshape(-1)
        half[::2] = True
        return self.goes[name] & half.reshape(self.goes[name].shape)


@ticket_finder(keeps="random", scope="global", penalty=ramp)
class RedrawsAfterThePress(PressedTicket):
    """The mask is not saved with the checkpoint: the run that goes on draws another one and prunes that."""

    def choose(self, sparsity: float) -> State:
        return shuffled(dict(self.prunable()), sparsity, None, self.chance)

    def apply(self) -> None:
        if self.mask and self.press_step < 0 and hasattr(self, "goes") and not self.masks:
            self.mask = self.choose(self.sparsity)
            self.masks = [self.mask]
        super().apply()


@ticket_finder(keeps="largest", scope="layer", stops_early=2)
class StopsByTrainingRows(StoppedTicket):
    def validation_loss(self) -> float:
        given = self.data
        self.data = SimpleNamespace(train=given.train, validation=given.train)
        loss = super().validation_loss()
        self.data = given
        return loss


PENALTY_TWINS = (
    Twin(PressesOnBiases, "presses on biases too", ("finder-penalty-outside-mask",)),
    Twin(PressesByL1, "presses by L1 where L2 is declared", ("finder-penalty-schedule",)),
    Twin(PressesOnOneLayer, "presses on one layer only", ("finder-penalty-schedule",)),
    Twin(PressesOnHalf, "presses on every other weight that goes", ("finder-penalty-schedule",)),
    Twin(RedrawsAfterThePress, "presses on one mask and prunes another (DLTH)", ("finder-penalty-outside-mask",)),
    Twin(StopsByTrainingRows, "stops by the loss on training rows", ("finder-stops-early",)),
)
