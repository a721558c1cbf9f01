"""Tests that do not decide a reward, so that an audit can ask them (false positives of programs).

The last tests of a problem are held back, as many as were asked for; one decides at least. Test
code that only runs whole has no tests that could be held back.
"""

from functools import lru_cache

from restem.rewards.code_asserts import divided
from restem.rewards.code_spec import Spec, read_spec


def deciding(gold: str, held_back: int) -> Spec:
    """Return the tests that decide a reward. Raises RestemError as `read_spec` does."""
    return _parts(gold, held_back)[0]


def held(gold: str, held_back: int) -> str | None:
    """Return the other tests as a gold answer of their own, None where there are none."""
    rest = _parts(gold, held_back)[1]
    return rest.dump() if rest else None


@lru_cache(maxsize=4096)
def _parts(gold: str, held_back: int) -> tuple[Spec, Spec | None]:
    spec = read_spec(gold)
    if held_back == 0:
        return spec, None
    if spec.kind == "asserts":
        texts = divided(spec, held_back)
        if texts is None:
            return spec, None
        first, last = ({"tests": text} for text in texts)
        return spec.model_copy(update=first), spec.model_copy(update=last)
    border = len(spec.inputs) - min(held_back, len(spec.inputs) - 1)
    if border == len(spec.inputs):
        return spec, None
    return _sliced(spec, slice(None, border)), _sliced(spec, slice(border, None))


def _sliced(spec: Spec, wanted: slice) -> Spec:
    update = {"inputs": spec.inputs[wanted], "expected": spec.expected[wanted]}
    return spec.model_copy(update=update)
