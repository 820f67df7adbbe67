"""`SparseAutoencoder`: features whose codes are seldom active, learned from data without labels.

Letters: N samples, I features of the data, H codes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from hdl import spec as specs
from hdl.estimators.features import FeatureLearner
from hdl.estimators.learner import by_batches
from hdl.estimators.parameters import ACTIVATIONS
from hdl.fitting import rounds
from hdl.ops import Samples
from hdl.ops.transformed import scaled
from hdl.spec import Spec


class SparseAutoencoder(FeatureLearner):
    """An autoencoder whose codes are seldom active, trained by hdl's core in float32 (Ng 2011, "Sparse autoencoder").

    Its cost is 1/N Σ ½‖r − x‖² + l2/2·‖W‖² + beta·Σ_j KL(rho‖ρ̂_j), with ρ̂_j the average of code j over all of X.

    Parameters
    ----------
    n_components : int
        H.
    activation : {'logistic', 'relu', 'tanh', 'identity', …}
        Of the codes; `beta` needs 'logistic'.
    decoder : {'logistic', 'identity'}
        'logistic' reconstructs data in [0, 1].
    tied : bool
        The decoder's weights are the encoder's.
    rho, beta : float
        Target of the average activations, and the weight of that term; 0 for none.
    corruption : float
        Share of inputs set to 0 before they are encoded, for the solvers that take mini-batches.
    contractive : float
        Weight of the squared Jacobian of the codes.
    l2 : float
        λ above: not divided by N.
    solver : {'lbfgs', 'cg', 'gd', 'adam', 'sgd', 'momentum', …}
        The first three take all of X at once.
    learning_rate_init : float, optional
        Of the others; None: the rule's own.
    batch_size : int or 'auto'
        'auto': 32 samples, from 20,000 of them on 100.
    max_iter : int
        Line searches, or epochs.
    tol, n_iter_no_change :
        It ends when the cost fell by less than `tol` this many times in a row.
    verbose : bool or int
        Whether each iteration is printed.
    random_state : int, RandomState or None
    scale : {'auto', 'none', 'minmax', 'standard', 'divide:c'}
        'auto': of a 'logistic' decoder data that leaves [0, 1] is brought there, else each feature is standardised.
    n_jobs : int, optional
        Threads; the weights do not depend on it.
    device, precision : str
        As of `MLPClassifier`.

    Attributes
    ----------
    components_ : ndarray [H, I]
    mean_activations_ : ndarray [H]
        ρ̂ over the X of the last fit.
    loss_curve_ : list of float
    n_iter_ : int

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = load_digits().data / 16
    >>> learner = SparseAutoencoder(25, rho=0.1, max_iter=50, random_state=1).fit(X)
    >>> learner.transform(X).shape, learner.components_.shape
    ((1797, 25), (25, 64))
    """

    def __init__(
        self,
        n_components: int = 64,
        *,
        activation: str = "logistic",
        decoder: str = "logistic",
        tied: bool = False,
        rho: float = 0.05,
        beta: float = 3.0,
        corruption: float = 0.0,
        contractive: float = 0.0,
        l2: float = 0.0001,
        solver: str = "lbfgs",
        learning_rate_init: float | None = None,
        batch_size: int | str = "auto",
        max_iter: int = 400,
        tol: float = 1e-6,
        n_iter_no_change: int = 10,
        verbose: bool | int = False,
        random_state: Any = None,
        scale: str = "auto",
        n_jobs: int | None = None,
        device: str = "cpu",
        precision: str = "float32",
    ):
        self.n_components = n_components
        self.activation = activation
        self.decoder = decoder
        self.tied = tied
        self.rho = rho
        self.beta = beta
        self.corruption = corruption
        self.contractive = contractive
        self.l2 = l2
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.verbose = verbose
        self.random_state = random_state
        self.scale = scale
        self.n_jobs = n_jobs
        self.device = device
        self.precision = precision

    @available_if(by_batches)
    def partial_fit(self, X: ArrayLike, y: Any = None) -> SparseAutoencoder:
        """Train one epoch over these samples; the scaling is that of the first call."""
        return self._partial_fit(X)

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return minus half the squared error of each sample's reconstruction [N], in the scaled data."""
        check_is_fitted(self)
        return -0.5 * self._errors(self._samples(X, new=False))

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Return the mean of `score_samples`."""
        return float(self.score_samples(X).mean())

    def _errors(self, samples: Samples) -> NDArray[np.float64]:
        rebuilt = self._decoder()(self._encoder()(samples)).astype(np.float64)
        return np.square(rebuilt - scaled(samples)).sum(axis=1)

    def _limits(self, spec: Spec) -> rounds.Limits:
        return rounds.Limits(spec.epochs, self.n_iter_no_change, self.tol)

    def _fields(self) -> dict[str, Any]:
        search = self.solver in specs.LINE_SEARCH_RULES
        return {
            "model": "autoencoder",
            "net": [self.n_components],
            "activation": ACTIVATIONS.get(self.activation, self.activation),
            "autoencoder": {
                "decoder": ACTIVATIONS.get(self.decoder, self.decoder), "tied": self.tied, "rho": self.rho,
                "beta": self.beta, "corruption": self.corruption, "contractive": self.contractive,
            },
            "l2": self.l2,
            "optimizer": {"name": self.solver, "lr": self.learning_rate_init},
            "sync": {"mode": "gradient" if search else "average"},
            "batch": 0 if search else self.batch_size,
            "epochs": self.max_iter,
        }  # fmt: skip
