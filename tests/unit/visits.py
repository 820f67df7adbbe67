"""A table of visits for tests of estimators: each kind of column, some cells missing, an outcome that all explain."""

import numpy as np
import pytest

import hdl

pd = pytest.importorskip("pandas")

N = 240
COLOURS = np.array(["red", "blue", "green", None], object)


def table(seed=0, n=N):
    """Visits: each kind of column, some cells missing, and an outcome that each of them has a share in."""
    rng = np.random.default_rng(seed)
    colour, member = rng.integers(0, 4, n), rng.integers(0, 2, n).astype(bool)
    day = rng.integers(0, 700, n)
    age = np.where(rng.random(n) < 0.1, np.nan, rng.normal(40, 12, n).round(1))
    made = pd.DataFrame(
        {
            "age": age,
            "colour": COLOURS[colour],
            "member": member,
            "seen": np.datetime64("2024-01-01") + day.astype("timedelta64[D]"),
            "visits": rng.integers(0, 50, n),
            "shop": pd.Categorical(rng.choice(["a", "b", "c"], n), categories=["c", "b", "a", "never"]),
        }
    )
    outcome = (colour == 1).astype(float) + member + (day % 7 < 2) + (np.nan_to_num(age) > 45)
    return made, outcome + 0.1 * rng.normal(size=n)


def net(**parameters):
    return hdl.MLPClassifier((16,), random_state=1, **{"max_iter": 60, "learning_rate_init": 0.02, **parameters})
