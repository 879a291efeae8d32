"""unilth: the claims of *A Unified View of Finding and Transforming Winning Lottery Tickets*, settled.

``unilth.theory`` proves, ``unilth.sims`` trains and checks, ``unilth.paper_figures`` draws; this package is the front
door and holds nothing but the version, the error that users see and the command line.
"""

from typing import TYPE_CHECKING

__all__ = ["__version__"]

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name):
        """The version, read where it is asked for: that takes longer than all else that the command line needs."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("unilth")
        except PackageNotFoundError:  # a source tree on sys.path, not installed
            return "0+unknown"
