"""The one error that a user sees as a sentence instead of a traceback."""


class UserError(ValueError):
    """Something the user gave cannot be used: the message names the argument, the value and the remedy.

    The command line prints the message on one line and exits with code 2. In Python it is a ``ValueError``.
    """
