"""Methods by property (table 1), read off the presets, so that the table says what they do.

Properties of publications, such as the size of the models that were tried, cannot be read off a
preset; they are cited.
"""

from collections.abc import Callable, Mapping
from typing import Final

from restem.config.method import Method
from restem.pages.markdown import table

YES, NO, NOT_APPLICABLE = "✓", "✗", "n/a"
_CITED: Final = {"yes": YES, "no": NO}

Temperatures = Mapping[str, float]
"""Temperature of every decoding of the study."""


def _answer(holds: bool) -> str:
    return YES if holds else NO


def _starts_fine_tuned(method: Method, _: Temperatures) -> str:
    return _answer(method.initial == "sft" and method.start == "last")


def _from_base(method: Method, _: Temperatures) -> str:
    if method.iterations == 1 or method.m_step.kind != "fine_tune":
        return NOT_APPLICABLE
    return _answer(method.start == "base")


def _rationalises(method: Method, _: Temperatures) -> str:
    return _answer(method.e_step is not None and method.e_step.hint is not None)


def _explores(method: Method, temperatures: Temperatures) -> str:
    if method.e_step is None:
        return NOT_APPLICABLE
    temperature = temperatures.get(method.e_step.decoding)
    return "?" if temperature is None else _answer(temperature > 0)


def _iterates(method: Method, _: Temperatures) -> str:
    return _answer(method.iterations > 1)


def _verifies(method: Method, _: Temperatures) -> str:
    if method.e_step is None:
        return NOT_APPLICABLE
    return _answer(method.selection.reward in ("verdict", "fraction"))


def _human(method: Method, _: Temperatures) -> str:
    return _answer(method.selection.human is not None)


PROPERTIES: Final[dict[str, Callable[[Method, Temperatures], str]]] = {
    "starts from a fine-tuned model": _starts_fine_tuned,
    "fine-tunes from the base model in each iteration": _from_base,
    "uses rationalisations for unsolved questions": _rationalises,
    "temperature sampling for exploration": _explores,
    "multiple iterations": _iterates,
    "rewards from a verifier": _verifies,
    "human solutions among the examples": _human,
}


def properties(method: Method, temperatures: Temperatures) -> dict[str, str]:
    """Return the value of every property for one configured method."""
    return {name: value_of(method, temperatures) for name, value_of in PROPERTIES.items()}


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
    headers = ["method", *PROPERTIES, *(f"{name} (cited)" for name in cited)]
    rows = [
        [
            name,
            *properties(methods[name], temperatures).values(),
            *(_CITED.get(by.get(name, ""), by.get(name, "–")) for by in cited.values()),
        ]
        for name in names
    ]
    note = (
        "Read off the method presets of this study; columns marked (cited) are the paper's, of the "
        "publications and not of the methods (arXiv 2312.06585v4, table 1)."
    )
    columns = table(headers, "l" + "c" * (len(headers) - 1), rows)
    return f"# Methods by property\n\n{columns}\n\n{note}\n"
