"""The report as one HTML page: styles and pictures inside, no script, no network, light and dark, narrow and wide."""

from __future__ import annotations

import base64
from html import escape

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
    Section,
    Text,
)

# Nothing may be fetched, run or framed: even an escaping mistake could not call home.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

CSS = """
:root {
  color-scheme: light dark;
  --ground: #fbfbfa; --card: #ffffff; --ink: #1d1f21; --soft: #5d6369; --rule: #e2e3e0; --accent: #0063a0;
  --good: #0b6e4f; --good-ground: #e3f4ec; --bad: #a8321a; --bad-ground: #fbe7e1;
  --open: #7a5a00; --open-ground: #fbf1d5; --code: #f1f1ee;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #15171a; --card: #1d2024; --ink: #e6e6e3; --soft: #a2a7ad; --rule: #33373c; --accent: #6db8ee;
    --good: #79d3b0; --good-ground: #163a2e; --bad: #f2a08d; --bad-ground: #47211a;
    --open: #e8c766; --open-ground: #3e3312; --code: #26292e;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.5;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; padding-top: .9rem; border-top: 1px solid var(--rule); }
p { margin: .5rem 0; max-width: 46rem; }
.lead, figcaption, caption, footer { color: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1rem; margin: 1rem 0 0; font-size: .92rem; }
a { color: var(--accent); text-underline-offset: .15em; }
.headlines { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .7rem; margin: 1.2rem 0; }
.headline { background: var(--card); border: 1px solid var(--rule); border-left: 4px solid var(--rule);
  border-radius: 6px; padding: .6rem .8rem; }
.headline b { display: block; font-size: 1.35rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.headline span { color: var(--soft); font-size: .86rem; line-height: 1.3; display: block; }
.headline.good { border-left-color: var(--good); } .headline.bad { border-left-color: var(--bad); }
.headline.open { border-left-color: var(--open); }
.scroll { overflow-x: auto; margin: .8rem 0; background: var(--card); border: 1px solid var(--rule);
  border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
caption { caption-side: top; text-align: left; padding: .6rem .8rem .2rem; font-size: .86rem; }
th, td { text-align: left; vertical-align: top; padding: .45rem .8rem; border-top: 1px solid var(--rule); }
thead th { border-top: 0; color: var(--soft); font-weight: 600; font-size: .8rem;
  white-space: nowrap; vertical-align: bottom; }
tbody th { font-weight: 400; min-width: 9rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.line { display: block; } .line + .line { color: var(--soft); font-size: .86rem; }
.tone { display: inline-block; padding: 0 .45rem; border-radius: 4px; white-space: nowrap; }
.line + .line .tone { white-space: normal; }
.tone.good { color: var(--good); background: var(--good-ground); }
.tone.bad { color: var(--bad); background: var(--bad-ground); }
.tone.part { color: var(--soft); background: var(--code); }
.tone.open { color: var(--open); background: var(--open-ground); }
p.bad { color: var(--bad); } p.open { color: var(--open); } p.good { color: var(--good); }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, "Liberation Mono", monospace; font-size: .84rem; }
code { overflow-wrap: anywhere; }
pre { background: var(--code); padding: .7rem .8rem; border-radius: 6px; overflow-x: auto; margin: .6rem 0; }
details { margin: .6rem 0; } summary { cursor: pointer; color: var(--accent); }
.gallery { display: grid; gap: 1rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
figure { margin: 0; background: var(--card); border: 1px solid var(--rule); border-radius: 6px; overflow: hidden; }
figure img { display: block; width: 100%; height: auto; background: #fff; padding: .6rem; }
figcaption { padding: .6rem .8rem; font-size: .86rem; border-top: 1px solid var(--rule); }
figcaption b { display: block; color: var(--ink); font-size: .95rem; }
footer { margin-top: 3rem; font-size: .86rem; }
@media print { body { background: #fff; } details > * { display: block; } .scroll { overflow: visible; } }
"""


def html(document: Document) -> str:
    """The whole page, UTF-8 text."""
    nav = "".join(f'<a href="#{escape(one.anchor)}">{escape(one.title)}</a>' for one in document.sections)
    body = "\n".join(section(one) for one in document.sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{escape(document.title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n<header>\n"
        f'<h1>{escape(document.title)}</h1>\n<p class="lead">{escape(document.lead)}</p>\n'
        f"{block(Headlines(document.headlines))}\n<nav>{nav}</nav>\n</header>\n{body}\n"
        f"<footer>{escape(document.foot)}</footer>\n</main>\n</body>\n</html>\n"
    )


def section(one: Section) -> str:
    return f'<section id="{escape(one.anchor)}">\n<h2>{escape(one.title)}</h2>\n{blocks(one.blocks)}\n</section>'


def blocks(many: tuple[Block, ...]) -> str:
    """Blocks one after another; pictures that follow each other share a gallery."""
    out: list[str] = []
    pictures: list[str] = []
    for one in (*many, None):
        if isinstance(one, Picture):
            pictures.append(picture(one))
            continue
        if pictures:
            out.append('<div class="gallery">\n' + "\n".join(pictures) + "\n</div>")
            pictures = []
        if one is not None:
            out.append(block(one))
    return "\n".join(out)


def block(one: Block) -> str:
    """One block as HTML."""
    match one:
        case Paragraph(text, tone):
            return f'<p class="{tone}">{escape(text)}</p>' if tone else f"<p>{escape(text)}</p>"
        case Headlines(items):
            inner = "".join(
                f'<div class="headline {item.tone}"><b>{escape(item.number)}</b><span>{escape(item.label)}</span></div>'
                for item in items
            )
            return f'<div class="headlines">{inner}</div>'
        case Grid():
            return grid(one)
        case Commands(lines):
            return f"<pre>{escape(chr(10).join(lines))}</pre>"
        case Details(summary, inner_blocks):
            return f"<details><summary>{escape(summary)}</summary>\n{blocks(inner_blocks)}\n</details>"
        case Picture():
            return picture(one)


def grid(one: Grid) -> str:
    """A table in a container of its own that scrolls sideways where the screen is narrow."""

    def attributes(index: int) -> str:
        return ' class="number"' if index in one.numeric else ""

    caption = f"<caption>{escape(one.caption)}</caption>" if one.caption else ""
    head = "".join(f'<th scope="col"{attributes(index)}>{escape(name)}</th>' for index, name in enumerate(one.head))
    rows = []
    for row in one.rows:
        first = f'<th scope="row"{attributes(0)}>{lines(row[0])}</th>'
        rest = "".join(f"<td{attributes(index)}>{lines(value)}</td>" for index, value in enumerate(row[1:], start=1))
        rows.append(f"<tr>{first}{rest}</tr>")
    return (
        f'<div class="scroll" tabindex="0"><table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>"
    )


def lines(value: Cell) -> str:
    return "".join(f'<span class="line">{inline(one)}</span>' for one in value.lines)


def inline(one: Text) -> str:
    words = f"<code>{escape(one.words)}</code>" if one.code else escape(one.words)
    return f'<span class="tone {one.tone}">{words}</span>' if one.tone else words


def picture(one: Picture) -> str:
    """A figure with its image inside the page."""
    data = base64.b64encode(one.png).decode("ascii")
    links = " · ".join(f'<a href="{escape(target)}">{escape(name)}</a>' for name, target in one.links)
    return (
        f'<figure><img alt="{escape(one.title)}" src="data:image/png;base64,{data}">'
        f"<figcaption><b>{escape(one.title)}</b>{escape(one.caption)} {links}</figcaption></figure>"
    )
