"""The report's sections on the theorems and on the paper's claims, from ledger.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unilth.paper_figures.report_document import (
    BAD,
    GOOD,
    OPEN,
    PART,
    PLAIN,
    Block,
    Commands,
    Details,
    Grid,
    Headline,
    Paragraph,
    Section,
    Text,
    cell,
    code,
)
from unilth.paper_figures.report_read import Part, mapping, seconds, words

STATUS = {"proved": GOOD, "supported": OPEN, "undecided": OPEN, "failed": BAD}
VERDICT = {"holds": GOOD, "holds if": PART, "fails": BAD, "open": OPEN, "undecided": OPEN}
COUNTED = {  # of one claim, of several
    "holds": ("holds", "hold"),
    "holds if": ("holds under a condition", "hold under a condition"),
    "fails": ("fails", "fail"),
}
CLAIMS = "Claims of the paper"
NEAR_MISS = {"rejected": GOOD, "accepted": BAD, "none": OPEN}


def headlines(ledger: Part) -> list[Headline]:
    """How many theorems are proved, how many near misses rejected, how the claims stand."""
    theorems, claims = ledger.rows("theorems"), ledger.rows("claims")
    if not theorems:
        return [Headline("not run", "theorems", OPEN)]
    proved = sum(row.get("status") == "proved" for row in theorems)
    failed = sum(row.get("status") == "failed" for row in theorems)
    rejected = sum(row.get("near_miss") == "rejected" for row in theorems)
    found = [
        Headline(
            f"{proved} of {len(theorems)}",
            "theorems proved",
            GOOD if proved == len(theorems) else BAD if failed else OPEN,
        ),
        Headline(
            f"{rejected} of {len(theorems)}",
            "near misses rejected: the checks can fail",
            GOOD if rejected == len(theorems) else BAD,
        ),
    ]
    if claims:
        verdicts = [words(row.get("verdict")) for row in claims]
        counts = {name: verdicts.count(name) for name in dict.fromkeys(verdicts)}
        told = ", ".join(f"{n} {COUNTED.get(name, (name, name))[n != 1]}" for name, n in counts.items())
        found.append(Headline(f"{len(claims)} claims", told))
    return found


def theorems(ledger: Part) -> Section:
    """The ledger: a table of theorems, a table of certified constants, the command for each line."""
    rows = ledger.rows("theorems")
    if not rows:
        return absent("theorems", "Theorems", ledger, "unilth prove --json ledger.json")
    table = Grid(
        ("Theorem", "Status", "Near miss"),
        tuple(
            (
                cell(
                    f"{words(row.get('catalogue'))}  {words(row.get('title'))}".strip(),
                    *(Text(words(reason), BAD) for reason in as_list(row.get("reasons"))),
                    code(words(row.get("id"))),
                ),
                cell(
                    toned(row.get("status"), STATUS),
                    words(row.get("level")),
                    seconds(row.get("seconds")),
                ),
                cell(toned(row.get("near_miss"), NEAR_MISS)),
            )
            for row in rows
        ),
        caption="Proved means symbolic, certified by ball arithmetic, or exhaustive, within the scope given below; a "
        "near miss is the same check on a slightly false statement, which it must reject.",
    )
    scopes = tuple(
        (cell(words(row.get("catalogue")), code(words(row.get("id")))), cell(words(row.get("scope")))) for row in rows
    )
    blocks: list[Block] = [table]
    constants = [
        (cell(name, code(words(row.get("id")))), *(cell(code(words(end))) for end in bracket))
        for row in rows
        for name, bracket in mapping(row.get("constants")).items()
        if isinstance(bracket, list) and len(bracket) == 2
    ]
    if constants:
        head = ("Constant", "At least", "At most")
        blocks.append(
            Details(
                f"{len(constants)} constants with certified brackets",
                (Grid(head, tuple(constants), frozenset({1, 2})),),
            )
        )
    blocks.append(Details("What exactly each proof covers", (Grid(("Theorem", "Scope"), scopes),)))
    lines = tuple(f"unilth prove {words(row.get('id'))}" for row in rows)
    blocks.append(Details("Run one theorem again", (Commands(lines),)))
    return Section("theorems", "Theorems", tuple(blocks))


def claims(ledger: Part, networks: Mapping[str, Sequence[str]] | None = None) -> Section:
    """What the paper says, taken apart: each form's verdict, what settles it, and a witness to paste.

    ``networks`` has per claim id the verdicts on networks, from recorded results; with any there is a column for them.
    """
    rows = ledger.rows("claims")
    if not rows:
        return absent("claims", CLAIMS, ledger, "unilth prove --json ledger.json")
    blocks: list[Block] = [
        Paragraph("The paper's sentences, each in the precise forms that theorems about quadratic losses can settle.")
    ]
    for sentence in dict.fromkeys(words(row.get("claim")) for row in rows):
        forms = [row for row in rows if words(row.get("claim")) == sentence]
        blocks.append(
            Grid(
                ("Form", "Verdict", "By", *(("On networks",) if networks else ())),
                tuple(
                    (
                        cell(words(row.get("form")) or words(row.get("id"))),
                        cell(toned(row.get("verdict"), VERDICT), unconfirmed(row)),
                        cell(" ".join(words(name) for name in as_list(row.get("theorems")))),
                        *((cell(*(networks.get(words(row.get("id"))) or ("not measured",))),) if networks else ()),
                    )
                    for row in forms
                ),
                caption=f"“{sentence}”",
            )
        )
    witnesses = [f"# {words(row.get('id'))}\n{words(row.get('witness'))}" for row in rows if row.get("witness")]
    if witnesses:
        blocks.append(Details(f"{len(witnesses)} witnesses", (Commands(tuple(witnesses)),)))
    return Section("claims", CLAIMS, tuple(blocks))


def unconfirmed(row: dict) -> Text:
    """Whether this run confirmed the verdict: every theorem held and the witness was recomputed."""
    return Text("not confirmed", BAD) if row.get("confirmed") is False else Text("")


def absent(anchor: str, title: str, source: Part, command: str) -> Section:
    """The section of a part that was not run, or whose file cannot be used."""
    told = f"Not usable: {source.problem}." if source.problem else "Not run."
    return Section(anchor, title, (Paragraph(told, OPEN), Commands((command,))))


def toned(value: object, tones: dict[str, str]) -> Text:
    """A status with its tone; an unknown one is shown without."""
    text = words(value, "not given")
    return Text(text, tones.get(text, PLAIN))


def as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
