"""Problems that a method gained, lost or never solved, with completions side by side."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from restem.pages.elements import details, paragraphs, passage, text
from restem.statistics.changes import BOTH, GAINED, LOST, NEITHER, SHOWN

Row = Mapping[str, Any]
_TITLES: Final = {
    GAINED: "Gained: solved only after training",
    LOST: "Lost: solved only before training",
    NEITHER: "Never solved: neither before nor after",
}
_LONGEST_QUESTION: Final = 1_200  # characters
_LONGEST_COMPLETION: Final = 1_600


def comparison(pair: Row, rows: Sequence[Row]) -> str:
    """Write one comparison: how many problems changed, and some of each kind in full."""
    last = f"{pair['variant']}, iteration {pair['iteration']}"
    compared = f"{pair['task']} · {pair['model']}: base → {last}"
    title = f"<h3>{text(compared)}</h3>"
    if not rows:
        return title + paragraphs(f"{last} halted, so it has no solutions to compare.")
    counts = Counter(row["change"] for row in rows)
    draws = max(row["after_draws"] for row in rows)
    solved = "" if draws == 1 else f" Solved: at least half of the {draws} draws are correct."
    numbers = "".join(
        f'<li class="{kind}"><b>{counts[kind]}</b> {name}</li>'
        for kind, name in {
            GAINED: "gained", LOST: "lost", NEITHER: "never solved", BOTH: "solved by both",
        }.items()
    )  # fmt: skip
    how = f"Decoding {pair['decoding']}, seed {pair['seed']}, {len(rows)} test problems.{solved}"
    return "\n".join(
        [
            title,
            f'<ul class="counts">{numbers}</ul>',
            paragraphs(how, kind="quiet"),
            *(_kind(kind, counts[kind], rows, last) for kind in SHOWN),
        ]
    )


def _kind(kind: str, count: int, rows: Sequence[Row], last: str) -> str:
    chosen = [row for row in rows if row["change"] == kind and row["place"] is not None]
    chosen.sort(key=lambda row: int(row["place"]))
    summary = f"{_TITLES[kind]} ({len(chosen)} of {count} shown)"
    return details(summary, *(_problem(row, last) for row in chosen), opened=kind == GAINED)


def _problem(row: Row, last: str) -> str:
    sides = "\n".join(
        _side(row, when, name) for when, name in (("before", "base"), ("after", last))
    )
    answer = f'<p>Gold answer: <bdi class="answer">{text(row["answer"], 200)}</bdi></p>'
    return (
        f'<article class="problem"><h4>{text(row["problem_id"], 120)}</h4>\n'
        f"{passage(row['question'], _LONGEST_QUESTION)}\n"
        f"{answer if row['answer'] is not None else ''}\n"
        f'<div class="sides">\n{sides}\n</div></article>'
    )


def _side(row: Row, when: str, name: str) -> str:
    verdict, extracted = row[f"{when}_verdict"], row[f"{when}_extracted"]
    draws, correct = row[f"{when}_draws"], row[f"{when}_correct"]
    counted = f", {correct} of {draws} draws correct" if draws > 1 else ""
    cut = ", cut off" if row[f"{when}_finish_reason"] == "length" else ""
    found = f'<bdi class="answer">{text(extracted, 200)}</bdi>' if extracted else "none"
    return (
        f'<div class="side {"right" if verdict == "correct" else "wrong"}">'
        f"<h5>{text(name)}</h5>\n"
        f'<p class="verdict"><b>{text(verdict)}</b>, answer {found}, '
        f"{row[f'{when}_tokens']} tokens{cut}{counted}</p>\n"
        f"{passage(row[f'{when}_completion'], _LONGEST_COMPLETION)}</div>"
    )
