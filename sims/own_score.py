"""Scores by name: those that come with unilth, or one of the user's own, given as an address to import from."""

from __future__ import annotations

import functools
from typing import Any

from torch import Tensor

from unilth.errors import UserError
from unilth.sims.forward import NetworkError
from unilth.sims.imported import in_short, is_import, locate
from unilth.sims.imported import origin as imported_origin
from unilth.sims.saliency import SCORES
from unilth.sims.scores import Score, Sight
from unilth.sims.spec import closest

ABOUT = "a score of your own is given as package.module:callable or path/to/file.py:callable"
GIVE = "give a function of what a score may see (sims/scores.py, Sight)"


def named(name: str) -> Score:
    """The score called ``name``; UserError, with the close names, where there is none and none can be imported.

    Whatever a score raises becomes a UserError that says so.
    """
    if name in SCORES:
        return functools.partial(_told, name, SCORES[name])
    if not is_import(name):
        raise UserError(f"there is no score {name!r}{closest(name, SCORES)}; {ABOUT}")
    return functools.partial(_told, name, locate(name, "score", about=ABOUT, give=GIVE))


def _told(name: str, score: Score, sight: Sight) -> dict[str, Tensor]:
    try:
        return score(sight)
    except (KeyboardInterrupt, NetworkError):  # of the user's and of the network's, not of the score's
        raise
    except BaseException as error:  # it may be of a kind of the score's own that is no Exception
        raise UserError(f"the score {name!r} fails: {in_short(error)}") from error


def origin(name: str) -> dict[str, Any]:
    """Where a score comes from, in plain values for the record: built in, or module, file, SHA-256 and version."""
    if not is_import(name):
        return {"kind": "built in", "name": name}
    return imported_origin(name, locate(name, "score", about=ABOUT, give=GIVE))
