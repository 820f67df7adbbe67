"""What the transformers share, and `SparseAutoencoder`: features learned from data without labels.

Letters: N samples, I features of the data, H codes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from hdl import data, models, sync
from hdl import spec as specs
from hdl.data.summary import of_block
from hdl.estimators import rounds
from hdl.estimators.learner import TYPES, Learner, by_batches, rows
from hdl.estimators.parameters import ACTIVATIONS, check
from hdl.models import codes, stack
from hdl.models.stack import Layer
from hdl.ops import Samples
from hdl.ops.transformed import ReconstructionTarget, StackedInput, scaled
from hdl.spec import Spec


class FeatureLearner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Learner):
    """A transformer from data to codes, trained in this process on one shard."""

    loss_curve_: list[float]
    _below: list[Layer]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: ArrayLike, y: Any = None) -> Any:
        """Learns from new weights.

        Parameters
        ----------
        X : array or sparse matrix [N, I]
            uint8 stays uint8; all else becomes float32, what `scale` centres after that.
        y : ignored

        Returns
        -------
        self
        """
        check(self)
        self._begin(False)
        samples = self._samples(X, new=True)
        found, self._below, self.loss_curves_ = self._learn(self._spec(samples), samples)
        self._keep(found, samples)
        self.n_iter_ = sum(map(len, self.loss_curves_))
        return self

    def _partial_fit(self, X: ArrayLike) -> Any:
        check(self)
        again = hasattr(self, "_weights")
        self._begin(again)
        samples = self._samples(X, new=not again)
        spec = self._spec(samples, 1 + (self._weights.round if again else 0))
        start = self._resumed(spec) if again else None
        curve = self.loss_curve_ if again else []
        found = self._stage(spec, samples, [], rounds.Limits(1), start)
        self._below = []
        self._keep(found, samples)
        self.loss_curve_ = curve + self.loss_curve_
        self.n_iter_ = len(self.loss_curve_)
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Codes [N, H] of X [N, I]."""
        check_is_fitted(self)
        return self._encoder()(self._samples(X, new=False))

    def inverse_transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Reconstructions [N, I] of codes [N, H], in the data's own scale."""
        check_is_fitted(self)
        given, width = check_array(X, dtype=np.float32), self._n_features_out
        if given.shape[1] != width:
            raise ValueError(f"X has {given.shape[1]} codes, but {type(self).__name__} makes {width}")
        return self._schema.unscaled(self._decoder()(given))

    @property
    def components_(self) -> NDArray[np.float32]:
        """What each code looks for in the scaled data [H, I]; above the first layer, the product of the weights."""
        if not hasattr(self, "_weights"):
            raise AttributeError(f"this {type(self).__name__} is not fitted yet")
        return self._encoder().product().T

    @property
    def _n_features_out(self) -> int:
        return self._encoder().width

    def _top(self) -> tuple[Spec, NDArray, list[Layer]]:
        """The topmost layer's spec and weights, and the layers below."""
        return self._fitted, self._weights.w, self._below

    def _decoder(self) -> codes.Decoder:
        spec, w, below = self._top()
        return codes.Decoder(spec, w, None, below)

    def _encoder(self) -> codes.Encoder:
        return codes.Encoder(self._fitted, self._weights.w, self._make)

    def _samples(self, X: Any, new: bool) -> Samples:
        x = self._inputs(validate_data(self, X, accept_sparse="csr", dtype=TYPES, reset=new))
        if new:
            fields = {**self._fields(), "scale": self.scale, "net": None, "batch": None}
            summary = of_block(data.Block(x, None, lambda i: {"offset": i}))
            self._schema = data.fit(summary, specs.parse(fields))
        return self._seen(x)

    def _fields(self) -> dict[str, Any]:
        """The spec that the parameters mean, but for what follows from data and seed."""
        raise NotImplementedError

    def _spec(self, samples: Samples, epochs: int | None = None) -> Spec:
        n, inputs = len(samples), self.n_features_in_
        fields = {"sync": {"mode": "average"}, "seed": self._seed, "precision": self.precision, "scale": self.scale}
        fields |= {"shuffle_window": n, **self._fields()}
        wished = fields["batch"]
        wished = (32 if n < 20_000 else 100) if wished == "auto" else wished
        fields["batch"] = max(1, min(wished, n)) if wished else 0
        fields["net"] = [inputs, *fields["net"], *([inputs] if fields["model"] == "autoencoder" else [])]
        if epochs is not None:
            fields["epochs"] = epochs
        return specs.parse({"loss": "squared", **fields})

    def _limits(self, spec: Spec) -> rounds.Limits:
        return rounds.Limits(spec.epochs)

    def _learn(
        self, spec: Spec, samples: Samples
    ) -> tuple[tuple[Spec, rounds.Trained], list[Layer], list[list[float]]]:
        """The whole and its trained weights, the layers of a stack, and the costs of each training."""
        below: list[Layer] = []
        curves: list[list[float]] = []
        for stage in stack.stages(spec):
            if stage.model == "mlp" and spec.finetune == "none":
                found = stage, rounds.Trained(sync.start(stage, stack.start(stage, below)))
                break
            found = self._stage(stage, samples, below, self._limits(stage))
            curves.append(found[1].curve)
            if stage.layer:
                below.append((stage, found[1].weights.w))
        return found, below, curves

    def _stage(
        self, spec: Spec, samples: Samples, below: list[Layer], limits: rounds.Limits, start: Any = None
    ) -> tuple[Spec, rounds.Trained]:
        """One training, of a layer above others or of a whole."""
        worker: Any = self._make(spec)
        if below and spec.layer:
            worker = StackedInput(worker, [(self._make(own), w) for own, w in below])
        elif spec.model == "mlp":
            worker = ReconstructionTarget(worker)
        if start is None:
            w = stack.start(spec, below) if below and not spec.layer else models.initial(spec)
            start = sync.start(spec, w)
        shard = data.Shard(samples, rows(samples, slice(0, 0)))
        return spec, rounds.train(spec, start, shard, worker, limits)

    def _keep(self, found: tuple[Spec, rounds.Trained], samples: Samples) -> None:
        """What a fit leaves behind."""
        self._fitted, trained = found
        self._weights, self.loss_curve_ = trained.weights, trained.curve
        self.mean_activations_ = self._encoder()(samples).mean(axis=0, dtype=np.float64)


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
        self.random_state = random_state
        self.scale = scale
        self.n_jobs = n_jobs
        self.device = device
        self.precision = precision

    @available_if(by_batches)
    def partial_fit(self, X: ArrayLike, y: Any = None) -> SparseAutoencoder:
        """One epoch over these samples; the scaling is that of the first call."""
        return self._partial_fit(X)

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Minus half the squared error of each sample's reconstruction [N], in the scaled data."""
        check_is_fitted(self)
        return -0.5 * self._errors(self._samples(X, new=False))

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Mean of `score_samples`."""
        return float(self.score_samples(X).mean())

    def _errors(self, samples: Samples) -> NDArray[np.float64]:
        found = self._decoder()(self._encoder()(samples)).astype(np.float64)
        return np.square(found - scaled(samples)).sum(axis=1)

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
