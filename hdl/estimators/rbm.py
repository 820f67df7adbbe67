"""`BernoulliRBM` and `GaussianRBM`: features of restricted Boltzmann machines.

Letters: N samples, I features of the data, H hidden units.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from hdl import rng
from hdl.estimators.features import FeatureLearner
from hdl.fitting import rounds
from hdl.ops import layout
from hdl.ops.transformed import scaled

ENUMERATED = 14  # units of a layer whose states are all tried


class _Rbm(FeatureLearner):
    """Base of both kinds of machine."""

    _visible = "binary"
    _log_z: float | None

    def __init__(
        self,
        n_components: int = 256,
        *,
        learning_rate: float = 0.1,
        batch_size: int | str = 10,
        n_iter: int = 10,
        k: int = 1,
        persistent: bool | None = None,
        chains: int | None = None,
        momentum: float = 0.0,
        l2: float = 0.0,
        rho: float = 0.05,
        beta: float = 0.0,
        verbose: bool | int = False,
        random_state: Any = None,
        scale: str = "auto",
        n_jobs: int | None = None,
        device: str = "cpu",
        precision: str = "float32",
    ):
        self.n_components = n_components
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.k = k
        self.persistent = persistent
        self.chains = chains
        self.momentum = momentum
        self.l2 = l2
        self.rho = rho
        self.beta = beta
        self.verbose = verbose
        self.random_state = random_state
        self.scale = scale
        self.n_jobs = n_jobs
        self.device = device
        self.precision = precision

    def partial_fit(self, X: ArrayLike, y: Any = None) -> Any:
        """Train one epoch over these samples; the scaling is that of the first call."""
        return self._partial_fit(X)

    def log_likelihood(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return log p of each sample [N], in the scaled data: −F(x) − log Z.

        F is the free energy, exact. log Z is found once a fit: by enumeration where one layer has at most 14 units (a
        Gaussian visible layer cannot be it), else by annealed importance sampling (Salakhutdinov & Murray 2008) with
        100 chains of 1000 steps from the data's means, in streams keyed by the seed.
        """
        from hdl.models import rbm

        check_is_fitted(self)
        x = scaled(self._samples(X, new=False))
        spec, w = self._fitted, self._weights.w
        if self._log_z is None:
            inputs, hidden = spec.widths
            few = hidden if self._visible == "gaussian" else min(inputs, hidden)
            exact = few <= ENUMERATED
            self._log_z = rbm.log_partition(spec, w) if exact else self._annealed()
        return rbm.log_likelihood(spec, w, x, self._log_z)

    def _annealed(self) -> float:
        from hdl.models import rbm

        base, n = self._means, self._schema.samples
        if self._visible == "binary":
            share = (base * n + 1) / (n + 2)
            base = np.log(share / (1 - share))
        return rbm.annealed(self._fitted, self._weights.w, seed=self._seed, base=base).log_z

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return `log_likelihood` of X [N]."""
        return self.log_likelihood(X)

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Return the mean of `score_samples`."""
        return float(self.score_samples(X).mean())

    def gibbs(self, v: ArrayLike, steps: int = 1) -> NDArray[np.float32]:
        """Draw visible units [N, I] by Gibbs steps from `v`, in the data's own scale.

        Each call draws other numbers, keyed by the seed and by how many calls there were since the fit.
        """
        from hdl.models import rbm

        check_is_fitted(self)
        x = scaled(self._samples(v, new=False))
        key = rng.derive(self._seed, rng.GIBBS, self._calls)
        self._calls += 1
        visible = rbm.sample(self._fitted, self._weights.w, len(x), steps, key, x)
        return self._schema.unscaled(visible)

    @property
    def h_samples_(self) -> NDArray[np.float32]:
        """Hidden units [M, H] drawn from the machine: above its persistent chains, else after 100 steps of new ones."""
        from hdl.models import rbm

        self._parts()
        spec, w, key = self._fitted, self._weights.w, rng.derive(self._seed, rng.GIBBS, 2**32 - 1)
        if (kept := self._weights.state.get("chains")) is not None:
            visible = kept[0]
        else:
            count = 10 if self.batch_size == "auto" else int(self.batch_size)
            visible = rbm.sample(spec, w, count, 100, key)
        return rbm.hidden(spec, w, visible, key)

    @property
    def intercept_hidden_(self) -> NDArray[np.float32]:
        """Biases of the hidden units [H]."""
        return self._parts()[0]

    @property
    def intercept_visible_(self) -> NDArray[np.float32]:
        """Biases of the visible units [I]."""
        return self._parts()[1]

    def _parts(self) -> tuple[NDArray, NDArray]:
        if not hasattr(self, "_weights"):
            raise AttributeError(f"this {type(self).__name__} is not fitted yet")
        (_, hidden), (_, visible) = layout.of(self._fitted).split(self._weights.w)
        return hidden, visible

    def _keep(self, spec: Any, trained: Any, samples: Any) -> None:
        self._log_z, self._calls = None, 0
        self._means = scaled(samples).mean(axis=0, dtype=np.float64)
        super()._keep(spec, trained, samples)

    def _fields(self) -> dict[str, Any]:
        batch = 100 if self.batch_size == "auto" else int(self.batch_size)
        chains = batch if self.chains is None else self.chains
        return {
            "model": "rbm",
            "net": [self.n_components],
            "rbm": {
                "visible": self._visible, "k": self.k, "chains": chains,
                "persistent": self._visible == "binary" if self.persistent is None else self.persistent,
                "rho": self.rho, "beta": self.beta,
            },
            "l2": self.l2,
            "optimizer": {
                "name": "momentum" if self.momentum else "sgd", "lr": self.learning_rate, "momentum": self.momentum,
            },
            "batch": self.batch_size,
            "epochs": self.n_iter,
        }  # fmt: skip


class BernoulliRBM(_Rbm):
    """An RBM of binary units, trained by persistent contrastive divergence by hdl's core in float32.

    `transform` gives the probabilities of the hidden units; `score_samples` is the pseudo-likelihood, `log_likelihood`
    the likelihood.

    Parameters
    ----------
    n_components : int
        H.
    learning_rate : float
    batch_size : int or 'auto'
    n_iter : int
        Epochs.
    k : int
        Gibbs steps of contrastive divergence.
    persistent : bool, optional
        The negative phase goes on from `chains` particles, kept from step to step (Tieleman 2008), as in scikit-learn;
        False: from the data. None: True, of a `GaussianRBM` False.
    chains : int, optional
        None: as many as a mini-batch has samples.
    momentum, l2 : float
    rho, beta : float
        Target of the hidden units' average activations, and the rate at which biases move towards it; 0 for none.
    verbose : bool or int
        Whether the pseudo-likelihood is printed after each epoch.
    random_state : int, RandomState or None
    scale : {'auto', 'none', 'minmax', 'standard', 'divide:c'}
        'auto': data that leaves [0, 1] is brought there.
    n_jobs : int, optional
        Threads; the weights do not depend on it.
    device, precision : str
        As of `MLPClassifier`; `gibbs` and `score_samples` compute on the CPU.

    Attributes
    ----------
    components_ : ndarray [H, I]
    intercept_hidden_, intercept_visible_ : ndarray [H], [I]
    mean_activations_ : ndarray [H]
        Over the X of the last fit.
    loss_curve_ : list of float
        Mean squared reconstruction error of each epoch, halved.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = load_digits().data / 16
    >>> BernoulliRBM(32, n_iter=3, random_state=1).fit(X).transform(X).shape
    (1797, 32)
    """

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return an estimate of the log pseudo-likelihood of each sample [N], by one unit of each that is turned over.

        Equal calls give equal estimates: `random_state` draws the units, or the seed of the fit where it is no integer.
        `log_likelihood` is no estimate, or a better one, and takes longer.
        """
        from hdl.models import rbm

        check_is_fitted(self)
        given = self.random_state
        seed = int(given) if isinstance(given, (int, np.integer)) else self._seed
        return rbm.pseudo_likelihood(self._fitted, self._weights.w, scaled(self._samples(X, new=False)), seed)

    def _telling(self, limits: rounds.Limits, spec: Any, samples: Any) -> None:
        from hdl.models import rbm

        if not self.verbose:
            return
        x, began = scaled(samples), [time.monotonic()]

        def told(number: int, cost: float, weights: Any) -> None:
            likelihood = rbm.pseudo_likelihood(spec, weights.w, x, self._seed).mean()
            began.append(time.monotonic())
            print(
                f"[{type(self).__name__}] Iteration {number}, pseudo-likelihood = {likelihood:.2f}, "
                f"time = {began[-1] - began[-2]:.2f}s"
            )

        limits.told = told


class GaussianRBM(_Rbm):
    """An RBM of Gaussian visible units with variance 1 and binary hidden ones; parameters as for `BernoulliRBM`.

    `scale='auto'` standardises the data, as the units need. The learning rate is smaller than that of binary units.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X = load_iris().data
    >>> GaussianRBM(8, n_iter=5, random_state=1).fit(X).transform(X).shape
    (150, 8)
    """

    _visible = "gaussian"
