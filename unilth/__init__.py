"""unilth: the claims of *A Unified View of Finding and Transforming Winning Lottery Tickets*, settled.

``unilth.theory`` proves, ``unilth.sims`` trains and checks, ``unilth.paper_figures`` draws; this package is the front
door and holds nothing but the version, the error that users see and the command line.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("unilth")
except PackageNotFoundError:  # a source tree on sys.path, not installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
