"""What a page shows, for tests: realistic estimates, and changed problems as one wants them."""

from typing import Any

from restem.pages.estimates import plotted
from restem.pages.index import Content, Figure
from tests.unit.summaries import REFERENCES

Row = dict[str, Any]
DRAWING = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="900" height="400"><rect width="90"/></svg>'
)
PAIR: Row = {
    "task": "sums", "model": "S", "variant": "rest-em", "seed": 0, "iteration": 3,
    "decoding": "greedy",
}  # fmt: skip
ORIGIN = {
    "commit": "c" * 40,
    "dirty": True,
    "code": "d" * 64,
    "locks": {"report": "e" * 64},
    "command": "snakemake --cores all --configfile config/sums.yaml",
}


def changed(problem: str, change: str, completion: str = "So 7.", **more: Any) -> Row:
    """Return a row of changes that is shown in full."""
    sides: Row = {}
    for when, solved in (("before", change == "lost"), ("after", change == "gained")):
        sides |= {f"{when}_draws": 1, f"{when}_correct": int(solved), f"{when}_tokens": 3}
        sides |= {f"{when}_completion": completion, f"{when}_extracted": "7"}
        sides |= {f"{when}_verdict": "correct" if solved else "incorrect"}
        sides |= {f"{when}_finish_reason": "stop"}
    row = {**PAIR, "split": "test", "problem_id": problem, "change": change, "place": 1, **sides}
    return {**row, "question": "What is 3 + 4?", "answer": "7", **more}


def cost(scope: str, name: str, charge: str = "alone") -> Row:
    columns = ("draws", "prompt_tokens", "cached_tokens", "generated_tokens", "trained_tokens")
    times = ("flops", "seconds", "cpu_seconds", "gpu_seconds")
    return {"scope": scope, "name": name, "charge": charge, **dict.fromkeys(columns + times, 12.0)}


def content(summary: list[Row], lifts: list[Row], **more: Any) -> Content:
    """Return what the page of a study of two models shows; more: what is otherwise."""
    kept = {"split": ["test"]}
    figures = [
        Figure(name, title, "", plotted(summary, kept, quantity), DRAWING)
        for name, title, quantity in (
            ("accuracy_by_iteration", "Accuracy by iteration", "accuracy"),
            ("pass_at_k", "Pass at k", "pass@"),
        )
    ]
    usual: Row = {
        "study": "sums",
        "description": "A study of sums.",
        "label": "embedded model",
        "trained": {"sums": ["rest-em", *REFERENCES]},
        "references": REFERENCES,
        "confidence": 0.95,
        "facts": [("Models", ["S: an embedded model"]), ("Seeds", ["0, 1, 2"])],
        "main": {"sums": "rest-em"},
        "summary": summary,
        "lifts": lifts,
        "ledger": [cost("study", "sums"), cost("study", "sums", "shared")],
        "overlap": [],
        "splits": [("sums", "test", 80)],
        "figures": figures,
        "compared": [PAIR],
        "changes": [changed("sums/1", "gained"), changed("sums/2", "lost")],
        "sharing": {"fine-tunings": {"by itself": 4, "shared": 3}},
        "origin": ORIGIN,
    }
    return Content(**(usual | more))
