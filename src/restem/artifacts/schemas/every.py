"""All kinds of tables by name, for tools that read any of them."""

from typing import Final

from restem.artifacts.schemas import estimates, evaluation, loop
from restem.artifacts.tables import Kind

KINDS: Final = {
    value.name: value
    for module in (loop, evaluation, estimates)
    for value in vars(module).values()
    if isinstance(value, Kind)
}
