"""transformers, imported without what it loads in vain.

If scikit-learn and scipy are installed, which MLflow requires, transformers imports them, with
pandas. Only assisted generation and object detection use them, which nothing here does, but they
take a quarter of the time in which a job starts. So jobs get transformers from here.
"""

import sys
from typing import Any, cast

_loaded = cast(dict[str, Any], sys.modules)
_hidden = [name for name in ("sklearn", "scipy") if name not in _loaded]
_loaded.update(dict.fromkeys(_hidden))  # as if they were not installed

import transformers  # noqa: E402
from transformers.utils import is_scipy_available, is_sklearn_available  # noqa: E402

__all__ = ["transformers"]

for _is_available in (is_scipy_available, is_sklearn_available):
    _is_available()  # transformers keeps the first answer
for _name in _hidden:
    del _loaded[_name]
