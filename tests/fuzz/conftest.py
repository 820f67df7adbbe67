"""The fixture that fuzzes a reader, with its budget: `EXAMPLES` inputs, with `--full` `FULL_EXAMPLES`."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from hdl.errors import HdlError
from tests.fuzz import mutations

EXAMPLES, FULL_EXAMPLES = 300, 5_000


@pytest.fixture
def fuzz(request):
    """`fuzz(read, strategy, first=[...])` reads the inputs `first` and then those drawn; `mutations.ends` judges each.

    `errors` are those that `read` may raise, and `share` is what part of the budget it takes.
    """
    examples = FULL_EXAMPLES if request.config.getoption("--full") else EXAMPLES

    def run(read, strategy, first=(), errors=(HdlError,), share=1.0):
        for data in first:
            mutations.ends(read, data, errors)

        @settings(
            max_examples=max(1, int(share * examples)),
            suppress_health_check=list(HealthCheck),
            phases=(Phase.reuse, Phase.generate, Phase.shrink),  # what a failure is explained by costs minutes
        )
        @given(strategy)
        def each(data):
            mutations.ends(read, data, errors)

        each()

    return run
