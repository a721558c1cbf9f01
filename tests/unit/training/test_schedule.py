import pytest

from restem.config.training import Training
from restem.training.schedule import rate_share, validation_steps


@pytest.mark.parametrize(
    ("schedule", "middle", "last"), [("cosine", 0.5, 0.0), ("linear", 0.5, 0.0), ("constant", 1, 1)]
)
def test_rate_rises_then_follows_its_schedule(schedule: str, middle: float, last: float) -> None:
    settings = Training(schedule=schedule, warmup_share=0.1)
    shares = [rate_share(settings, step, 1000) for step in range(1000)]
    assert shares[0] == pytest.approx(0.01)
    assert shares[99] == 1
    assert shares[100] == 1
    assert shares[550] == pytest.approx(middle)
    assert shares[-1] == pytest.approx(last, abs=2e-3)


def test_no_warmup_starts_at_the_peak() -> None:
    assert rate_share(Training(warmup_share=0), 0, 10) == 1


def test_validations_end_every_epoch() -> None:
    settings = Training(epochs_max=2, validations_per_epoch=3)
    assert validation_steps(settings, 10) == {3, 7, 10, 13, 17, 20}
    assert validation_steps(settings, 1) == {1, 2}
