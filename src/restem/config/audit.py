"""Whether a study judges the solutions that its policies are trained on a second time."""

from pydantic import Field

from restem.config.strict import Strict


class Audit(Strict):
    """Judge a sample of the kept solutions a second time: how many of them are false positives?

    Answers are compared by a second grader (Math-Verify, which `make audit` installs), programs run
    the tests that `reward.code.held_back` kept from their reward.
    """

    sample: int = Field(
        default=0,
        description="Kept solutions of each policy that are judged again: so many of those found "
        "on the first try and so many rationalised ones. 0 for no audit.",
        ge=0,
    )
    seed: int = Field(default=0, description="Seed of the sample.", ge=0)
    steps: bool = Field(
        default=False,
        description="Also count the solutions in which an equation of numbers is wrong; for tasks "
        "whose solutions calculate line by line, such as gsm8k, chain and story.",
    )
