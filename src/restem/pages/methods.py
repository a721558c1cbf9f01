"""Methods by property (table 1), read off the presets, so that the table says what they do.

Properties of publications, such as the size of the models that were tried, cannot be read off a
preset; they are cited.
"""

from collections.abc import Mapping
from typing import Final

from restem.config.method import Method
from restem.pages.markdown import table

YES, NO, NOT_APPLICABLE = "✓", "✗", "n/a"
_CITED: Final[dict[str | None, str]] = {"yes": YES, "no": NO}

Temperatures = Mapping[str, float]
"""Temperature of every decoding of the study."""


def properties(method: Method, temperatures: Temperatures) -> dict[str, str]:
    """Return the value of every property for one configured method."""
    e_step, selection = method.e_step, method.selection
    restarts = method.iterations > 1 and method.m_step.kind == "fine_tune"
    temperature = temperatures.get(e_step.decoding) if e_step else None
    holds: dict[str, bool | str | None] = {
        "starts from a fine-tuned model": method.initial == "sft" and method.start == "last",
        "fine-tunes from the base model in each iteration": (
            method.start == "base" if restarts else None
        ),
        "uses rationalisations for unsolved questions": bool(e_step and e_step.hint),
        "temperature sampling for exploration": (
            ("?" if temperature is None else temperature > 0) if e_step else None
        ),
        "multiple iterations": method.iterations > 1,
        "rewards from a verifier": (
            selection.reward in ("verdict", "fraction") if e_step else None
        ),
        "human solutions among the examples": selection.human is not None,
    }
    marks: dict[bool | str | None, str] = {True: YES, False: NO, None: NOT_APPLICABLE, "?": "?"}
    return {name: marks[value] for name, value in holds.items()}


def markdown(
    methods: Mapping[str, Method],
    temperatures: Temperatures,
    cited: Mapping[str, Mapping[str, str]],
) -> str:
    """Write one row per method, those of the paper's table first.

    cited: by property, the values of the methods in the paper's table, in its order.
    """
    paper = dict.fromkeys(name for values in cited.values() for name in values)
    names = dict.fromkeys([*(name for name in paper if name in methods), *methods])
    rows = [
        {"method": name}
        | properties(methods[name], temperatures)
        | {
            f"{key} (cited)": _CITED.get(by.get(name), by.get(name, "–"))
            for key, by in cited.items()
        }
        for name in names
    ]
    headers = list(rows[0])
    note = (
        "Read off the method presets of this study; columns marked (cited) are the paper's, of the "
        "publications and not of the methods (arXiv 2312.06585v4, table 1)."
    )
    columns = table(headers, "l" + "c" * (len(headers) - 1), [list(row.values()) for row in rows])
    return f"# Methods by property\n\n{columns}\n\n{note}\n"
