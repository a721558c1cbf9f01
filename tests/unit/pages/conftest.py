"""The realistic summary that tests of figures and of pages share."""

from tests.unit.summaries import (  # noqa: F401
    damaged,
    damaged_lifts,
    damaged_results,
    lift_rows,
    results,
    summary,
)
