"""Text from files and names of the user's, made safe to print."""


def printable(text: str) -> str:
    """``text`` on one line: what is no visible character but a space is written as its escape, as ``\\x1b`` or ``\\n``.

    A terminal would obey control characters, a line break would end a comment or a row, and half a surrogate pair
    cannot be written to any file.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
