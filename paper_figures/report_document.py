"""What a report is made of, without saying how it looks.

The HTML page and its Markdown twin are drawn from the same blocks. All text here is plain: whoever draws it escapes it,
so nothing read from a file can become markup.
"""

from __future__ import annotations

from dataclasses import dataclass, field

GOOD, BAD, OPEN, PART, PLAIN = "good", "bad", "open", "part", ""  # holds, does not, not known, in part, no judgement


@dataclass(frozen=True)
class Text:
    """A few words with a tone; ``code`` for what is typed."""

    words: str
    tone: str = PLAIN
    code: bool = False


@dataclass(frozen=True)
class Cell:
    """A table cell: its lines, the first one the main one."""

    lines: tuple[Text, ...]


def cell(*lines: str | Text) -> Cell:
    """A cell of plain or toned lines; empty lines are left out."""
    texts = (Text(line) if isinstance(line, str) else line for line in lines)
    return Cell(tuple(text for text in texts if text.words))


def code(words: str) -> Text:
    return Text(words, code=True)


@dataclass(frozen=True)
class Paragraph:
    text: str
    tone: str = PLAIN


@dataclass(frozen=True)
class Grid:
    """A table. ``numeric`` are the indices of right-aligned columns; the first column names the row."""

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numeric: frozenset[int] = frozenset()
    caption: str = ""


@dataclass(frozen=True)
class Headline:
    """One count that a reader sees first."""

    number: str
    label: str
    tone: str = PLAIN


@dataclass(frozen=True)
class Headlines:
    items: tuple[Headline, ...]


@dataclass(frozen=True)
class Picture:
    """A figure: PNG bytes for the page, its path relative to the report for the twin."""

    title: str
    caption: str
    png: bytes
    path: str
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Commands:
    """Lines to paste into a shell."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Details:
    """Something to open on demand."""

    summary: str
    blocks: tuple[Block, ...]


Block = Paragraph | Grid | Headlines | Picture | Commands | Details


@dataclass(frozen=True)
class Section:
    anchor: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    title: str
    lead: str
    sections: tuple[Section, ...]
    foot: str = ""
    headlines: tuple[Headline, ...] = field(default=())
