"""Every link from one Markdown page of the project to another file of it, and to a heading there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for folder in (".", "docs", "docs/theory", "results/**") for path in ROOT.glob(f"{folder}/*.md"))
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|<a href=['\"]([^'\"]+)|^\[[^\]]+\]: +(\S+)", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings: lower case, hyphens for spaces, no punctuation, numbered where repeated."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    found: set[str] = set(re.findall(r"<a (?:id|name)=['\"]([^'\"]+)", text))
    for heading in re.findall(r"^#+ +(.+?)\s*$", text, re.MULTILINE):
        words = re.sub(r"\]\([^)]*\)", "", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = next(n for n in range(len(text)) if (f"{slug}-{n}" if n else slug) not in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found


def broken(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    links = ["".join(groups) for groups in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8")))]
    found = []
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert not broken(page)


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("## A b, c\n## [A](x) b, c\n")
    good = "[1](there.md#a-b-c) [2](there.md#a-b-c-1 'no title') [5](https://x.y/z)\n```\n[6](gone)\n```\n"
    page = tmp_path / "page.md"
    page.write_text(good + '[2](there.md#a) [3](missing.md "t") [4](#no) <a href="away">\n\n[r]: lost.md\n')
    assert broken(page) == ["there.md#a", "missing.md", "#no", "away", "lost.md"]


def test_there_are_pages() -> None:
    assert {"README.md", "CHANGELOG.md", "docs/gpu.md", "results/README.md", "docs/theory/README.md"} <= {
        str(page.relative_to(ROOT)) for page in PAGES
    }
