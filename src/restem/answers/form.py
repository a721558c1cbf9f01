"""Write an answer in one form, so that a vote can count equal answers without the gold one."""

from restem.answers.normalise import normalise
from restem.answers.rational import parse_rational


def answer_form(extracted: str | None) -> str | None:
    """Return the form under which an answer is counted: an exact fraction, else its normal form.

    What both leave apart (sqrt(8) and 2 sqrt(2)) counts as two answers.
    """
    if extracted is None:
        return None
    form = normalise(extracted)
    exact = parse_rational(form.body)
    return f"{form.body if exact is None else exact} {form.unit}".rstrip()
