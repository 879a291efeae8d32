"""The report's Markdown twin: the same blocks for a terminal, a diff or a code host's viewer."""

from __future__ import annotations

import re

from unilth.paper_figures.report_document import (
    Block,
    Cell,
    Commands,
    Details,
    Document,
    Grid,
    Headlines,
    Paragraph,
    Picture,
    Text,
)


def markdown(document: Document) -> str:
    """The whole report, GitHub-flavoured, UTF-8 text."""
    parts = [f"# {plain(document.title)}", plain(document.lead), block(Headlines(document.headlines))]
    for section in document.sections:
        parts += [f"## {plain(section.title)}", *(block(one) for one in section.blocks)]
    return "\n\n".join(part for part in (*parts, plain(document.foot)) if part) + "\n"


def plain(text: str) -> str:
    """Text that stays text: one line, with everything that Markdown or HTML would read as markup escaped."""
    text = " ".join(text.split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", text)


def typed(text: str) -> str:
    """A code span, fenced by more backticks than the text has in a row; bars escaped for use in a table."""
    text = " ".join(text.split()).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence} {text} {fence}" if len(fence) > 1 else f"{fence}{text}{fence}"


def block(one: Block) -> str:
    """One block as Markdown."""
    match one:
        case Paragraph(text, _):
            return plain(text)
        case Headlines(items):
            return "\n".join(f"- **{plain(item.number)}** {plain(item.label)}" for item in items)
        case Grid():
            return grid(one)
        case Commands(lines):
            return "\n".join(f"    {line}" for text in lines for line in text.splitlines())
        case Details(summary, inner):
            return "\n\n".join([f"**{plain(summary)}**", *(block(each) for each in inner)])
        case Picture(title, caption, _, path, links):
            named = " · ".join(f"[{plain(name)}](<{target}>)" for name, target in links)
            return f"![{plain(title)}](<{path}>)\n\n**{plain(title)}.** {plain(caption)} {named}".rstrip()


def grid(one: Grid) -> str:
    """A pipe table; a cell's further lines follow its first after a break."""
    head = "| " + " | ".join(plain(name) for name in one.head) + " |"
    rule = "|" + "|".join("---:" if index in one.numeric else "---" for index in range(len(one.head))) + "|"
    rows = ["| " + " | ".join(cell(value) for value in row) + " |" for row in one.rows]
    caption = [plain(one.caption), ""] if one.caption else []
    return "\n".join([*caption, head, rule, *rows])


def cell(value: Cell) -> str:
    return "<br>".join(inline(one) for one in value.lines)


def inline(one: Text) -> str:
    return typed(one.words) if one.code else plain(one.words)
