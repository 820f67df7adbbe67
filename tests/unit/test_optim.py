"""Line-search machines and the driver's mini-batch step."""

import numpy as np
import pytest
import scipy.optimize

from hdl import ops, optim
from hdl import spec as specs
from hdl.errors import NonFinite, SpecError
from hdl.models import mlp
from hdl.optim import line

RULES = ["gd", "cg", "lbfgs"]
WOLFE = {"gd": (1e-4, 0.9), "cg": (0.01, 0.5), "lbfgs": (1e-4, 0.9)}


def make_spec(rule, net="2-2", **fields):
    return specs.parse({"net": net, "loss": "softmax", "optimizer": {"name": rule, **fields}})


def rosenbrock(x):
    return scipy.optimize.rosen(x), scipy.optimize.rosen_der(x)


def bowl(x):
    curvature = np.arange(1, x.size + 1)
    return float(curvature @ (x - 1) ** 2) / 2, curvature * (x - 1)


def digits(dtype=np.float64, n=200):
    """Cost and gradient of a small perceptron on scikit-learn's digits, and its first weights."""
    from sklearn.datasets import load_digits

    spec = specs.parse({"net": "64-12-10", "loss": "softmax", "activation": "tanh", "l2": 1e-3, "optimizer": "lbfgs"})
    x, y = load_digits(return_X_y=True)
    samples = ops.Samples((x[:n] / 16).astype(np.float32), y[:n].astype(np.int32))
    reference = ops.make(spec, "reference")

    def evaluate(w):
        gradient, result = reference.gradient(w.astype(dtype), samples)
        return optim.objective(spec, w.astype(dtype), result.cost, gradient, n)

    return evaluate, mlp.initial(spec).astype(dtype)


# Test functions of a line search (Moré & Thuente 1994, equations 5.1 to 5.3, and two of ours), each with its slope.
LINES = {
    "rational": (lambda t: -t / (t * t + 2), lambda t: (t * t - 2) / (t * t + 2) ** 2),
    "power": (lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4, lambda t: 5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3),
    "bowl": (lambda t: (t - 40) ** 2, lambda t: 2 * (t - 40)),
    "waves": (lambda t: -t / 10 - np.sin(3 * t) / 40 + t * t / 60, lambda t: -0.1 - 3 * np.cos(3 * t) / 40 + t / 30),
    "wall": (lambda t: -t if t < 3 else np.nan, lambda t: -1.0),
}


@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 10.0, 1e3])
@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize(("search", "c1", "c2"), [(line.wolfe, 1e-4, 0.9), (line.powell, 0.01, 0.5)])
def test_line_search_meets_the_wolfe_conditions(search, c1, c2, name, first):
    f, slope = LINES[name]
    state, verdict = line.begin(f(0.0), slope(0.0), first), line.SEARCH
    while verdict == line.SEARCH:
        t = state.step
        assert t > 0
        cost = f(t)
        verdict = search(state, cost if np.isfinite(cost) else np.inf, slope(t) if np.isfinite(cost) else np.inf, 30)
    if name == "wall":  # the slope never flattens: the best point before the wall is all there is
        assert verdict == line.NEAR
        assert 2.5 < state.near < 3
        return
    assert verdict == line.ACCEPT
    assert f(t) <= f(0) + c1 * t * slope(0)
    assert abs(slope(t)) <= -c2 * slope(0)


@pytest.mark.parametrize(("rule", "searches"), [("gd", 400), ("cg", 60), ("lbfgs", 40)])
def test_quadratic_bowl_is_solved(rule, searches):
    w, state = optim.minimise(make_spec(rule), np.zeros(30), bowl, searches)
    np.testing.assert_allclose(w, 1, atol=1e-4)
    assert optim.cost(state) < 1e-6


@pytest.mark.parametrize(("rule", "most"), [("cg", 200), ("lbfgs", 60)])
def test_rosenbrock_is_solved(rule, most):
    w, state = optim.minimise(make_spec(rule), np.array([-1.2, 1]), rosenbrock, 100)
    np.testing.assert_allclose(w, 1, atol=1e-6)
    assert optim.evaluations(state) < most


def test_gradient_descent_goes_down_the_valley():
    costs = [optim.cost(optim.minimise(make_spec("gd"), np.array([-1.2, 1]), rosenbrock, n)[1]) for n in (1, 10, 100)]
    assert costs[0] < 24.2
    assert costs[0] > costs[1] > costs[2]


@pytest.mark.parametrize("rule", RULES)
def test_wolfe_conditions_hold_at_every_accepted_step(rule):
    c1, c2 = WOLFE[rule]
    evaluate, w = digits()
    seen, state, at, tested = {}, optim.start(make_spec(rule), w), None, 0
    while optim.searches(state) < 12:
        before, point = optim.searches(state), optim.trial(state)
        cost, g = evaluate(point)
        seen[point.tobytes()] = cost, g
        state = optim.tell(state, cost, g)
        now = optim.accepted(state)
        if optim.searches(state) > before and at is not None:
            (f0, g0), (f1, g1), move = seen[at.tobytes()], seen[now.tobytes()], now - at
            assert f1 <= f0 + c1 * (g0 @ move) + 1e-12
            assert abs(g1 @ move) <= c2 * abs(g0 @ move) * (1 + 1e-9)
            assert g0 @ move < 0
            tested += 1
        at = now
    assert tested == 12


def test_lbfgs_matches_scipy_on_a_perceptron():
    evaluate, w = digits()
    peer = scipy.optimize.minimize(evaluate, w, jac=True, method="L-BFGS-B", options={"maxiter": 80, "maxcor": 10})
    _, state = optim.minimise(make_spec("lbfgs"), w, evaluate, 80)
    assert optim.cost(state) == pytest.approx(peer.fun, rel=0.03)
    assert optim.evaluations(state) <= 1.3 * peer.nfev


@pytest.mark.parametrize("rule", RULES)
def test_state_survives_a_round_trip_at_every_evaluation(rule):
    evaluate, w = digits(np.float32)
    straight, carried = optim.start(make_spec(rule), w), optim.start(make_spec(rule), w)
    for _ in range(25):
        straight = optim.tell(straight, *evaluate(optim.trial(straight)))
        carried = {k: np.frombuffer(v.tobytes(), v.dtype).reshape(v.shape) for k, v in carried.items()}  # read-only
        carried = optim.tell(carried, *evaluate(optim.trial(carried)))
    assert np.array_equal(optim.accepted(straight), optim.accepted(carried))
    assert straight.keys() == carried.keys()
    assert all(np.array_equal(straight[name], carried[name], equal_nan=True) for name in straight)
    assert optim.accepted(straight).dtype == np.float32


@pytest.mark.parametrize("rule", RULES)
def test_tell_leaves_the_state_it_was_given(rule):
    state = optim.start(make_spec(rule), np.array([-1.2, 1]))
    for _ in range(20):
        kept = {name: array.copy() for name, array in state.items()}
        new = optim.tell(state, *rosenbrock(optim.trial(state)))
        assert all(np.array_equal(kept[name], state[name], equal_nan=True) for name in kept)
        state = new


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("one", [True, False])
def test_a_cost_that_is_no_number_shrinks_the_step(rule, bad, one):
    """Outside of a ball around the start nothing is defined; the minimum is inside."""

    def walled(x):
        cost, g = bowl(x)
        return (cost, g) if np.abs(x).max() < 1.02 else (bad, g if one else np.full_like(g, bad))

    w, state = optim.minimise(make_spec(rule), np.zeros(20), walled, 300)
    np.testing.assert_allclose(w, 1, atol=1e-3)
    assert np.isfinite(optim.cost(state))


@pytest.mark.parametrize("rule", RULES)
def test_a_search_without_descent_starts_anew_then_stops(rule):
    """A gradient that points the wrong way: no step helps."""
    wrong = lambda x: (bowl(x)[0], -bowl(x)[1])  # noqa: E731
    w, state = optim.minimise(make_spec(rule, max_evaluations=8), np.full(3, 3.0), wrong, 50)
    assert optim.done(state)
    np.testing.assert_array_equal(w, 3)
    assert optim.evaluations(state) == 9
    after = optim.tell(state, 0.0, np.zeros(3))
    np.testing.assert_array_equal(optim.trial(after), 3)


@pytest.mark.parametrize("rule", ["cg", "lbfgs"])
def test_a_failed_search_falls_back_to_steepest_descent(rule):
    state = optim.start(make_spec(rule, max_evaluations=5), np.array([-1.2, 1]))
    while optim.searches(state) < 6:
        state = optim.tell(state, *rosenbrock(optim.trial(state)))
    w, g = optim.accepted(state), rosenbrock(optim.accepted(state))[1]
    for _ in range(5):
        state = optim.tell(state, np.inf, g)
    assert not optim.done(state)
    np.testing.assert_array_equal(optim.accepted(state), w)
    move = optim.trial(state) - w
    assert move @ -g == pytest.approx(np.linalg.norm(move) * np.linalg.norm(g))


@pytest.mark.parametrize("rule", RULES)
def test_done_at_a_minimum(rule):
    state = optim.start(make_spec(rule), np.ones(4))
    state = optim.tell(state, *bowl(optim.trial(state)))
    assert optim.done(state)
    np.testing.assert_array_equal(optim.trial(state), 1)


def test_float32_noise_ends_a_search_but_not_the_answer():
    evaluate, w = digits(np.float32, 100)
    _, state = optim.minimise(make_spec("lbfgs"), w, evaluate, 400)
    exact, w = digits(np.float64, 100)
    _, best = optim.minimise(make_spec("lbfgs"), w, exact, 400)
    assert optim.cost(state) == pytest.approx(optim.cost(best), rel=1e-2)


def test_a_bad_start_and_a_wrong_rule_are_errors():
    state = optim.start(make_spec("cg"), np.zeros(2))
    with pytest.raises(NonFinite, match="starting weights"):
        optim.tell(state, np.nan, np.zeros(2))
    with pytest.raises(SpecError, match="optimizer"):
        optim.start(make_spec("adam"), np.zeros(2))


@pytest.mark.parametrize("rule", ["sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam"])
def test_the_drivers_step_is_a_workers_step_on_the_whole_data(rule):
    spec = specs.parse(
        {"net": "5-4-3", "loss": "softmax", "l2": 0.1, "l1": 0.05, "max_norm": 0.8, "optimizer": {"name": rule}}
    )
    rng = np.random.default_rng(0)
    samples = ops.Samples(rng.normal(size=(30, 5)), rng.integers(0, 3, 30))
    reference, w = ops.make(spec, "reference"), mlp.initial(spec).astype(np.float64)
    state = np.zeros((optim.state_vectors(spec), w.size))
    expected, kept = w.copy(), state.copy()
    for step in range(3):
        reference.train(expected, kept, samples, np.arange(30), 30, ops.rates(spec, step, 1, 1), step)
        given = w.copy(), state.copy()
        new = optim.apply(spec, w, state, reference.gradient(w, samples)[0] / 30, step)
        assert np.array_equal(w, given[0])  # what it was given stays
        assert np.array_equal(state, given[1])
        w, state = new
    np.testing.assert_allclose(w, expected, rtol=1e-12)
    np.testing.assert_allclose(state, kept, rtol=1e-12)
