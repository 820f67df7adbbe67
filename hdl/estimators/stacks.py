"""`StackedAutoencoder` and `DBN`: layers of features learned one above the other.

Letters: N samples, I features of the data, H codes of the topmost layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hdl.estimators.features import FeatureLearner
from hdl.estimators.parameters import ACTIVATIONS
from hdl.models.stack import Layer
from hdl.spec import Spec


class _Stack(FeatureLearner):
    """Base of both kinds of stack."""

    hidden_layer_sizes: Any
    n_iter: int
    max_iter: int
    finetune: str

    def _top(self) -> tuple[Spec, Any, list[Layer]]:
        if self._fitted.finetune == "reconstruct":
            return self._fitted, self._weights.w, []
        (spec, w), below = self._below[-1], self._below[:-1]
        return spec, w, below

    def _shared(self) -> dict[str, Any]:
        if self.finetune not in ("none", "reconstruct"):
            raise ValueError(f"finetune={self.finetune!r}; expected 'none' or 'reconstruct'")
        return {
            "net": np.atleast_1d(np.asarray(self.hidden_layer_sizes, int)).tolist(),
            "finetune": self.finetune,
            "batch": self.batch_size,
            "epochs": self.max_iter,
            "optimizer": {"name": self.solver, "lr": self.learning_rate_init},
        }

    def reconstruct(self, X: Any) -> Any:
        """Return data [N, I] as it comes back from its codes: `inverse_transform` of `transform`."""
        return self.inverse_transform(self.transform(X))


class StackedAutoencoder(_Stack):
    """Autoencoders above each other, each learned on the codes below (Bengio et al. 2007), in float32 by hdl's core.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int
        Codes of the layers; the last ones are what `transform` gives.
    activation, decoder, rho, beta, corruption, contractive, l2 :
        Of every layer, as of `SparseAutoencoder`; `decoder` is the first one's.
    n_iter : int
        Epochs of each layer.
    pretrain_solver, pretrain_learning_rate : str or None, float or None
        Of the layers; None: adam at its own rate.
    finetune : {'reconstruct', 'none'}
        Whether all layers, unrolled into one deep autoencoder, are trained together at the end.
    max_iter : int
        Epochs of that.
    solver, learning_rate_init : str, float or None
        Of that.
    batch_size : int or 'auto'
    verbose, random_state, scale, n_jobs, device, precision :
        As of `SparseAutoencoder`.

    Attributes
    ----------
    components_ : ndarray [H, I]
        The product of the layers' weights: what each code looks for if the layers between were linear.
    mean_activations_ : ndarray [H]
    loss_curves_ : list of list of float
        Of each layer's training, and of the fine-tuning.
    n_iter_ : int
        Epochs of all of them.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = load_digits().data / 16
    >>> deep = StackedAutoencoder((32, 8), n_iter=3, max_iter=3, random_state=1).fit(X)
    >>> deep.transform(X).shape
    (1797, 8)
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (100, 50),
        *,
        activation: str = "logistic",
        decoder: str = "logistic",
        rho: float = 0.05,
        beta: float = 0.0,
        corruption: float = 0.0,
        contractive: float = 0.0,
        l2: float = 0.0,
        n_iter: int = 10,
        pretrain_solver: str | None = None,
        pretrain_learning_rate: float | None = None,
        finetune: str = "reconstruct",
        max_iter: int = 20,
        solver: str = "adam",
        learning_rate_init: float | None = None,
        batch_size: int | str = "auto",
        verbose: bool | int = False,
        random_state: Any = None,
        scale: str = "auto",
        n_jobs: int | None = None,
        device: str = "cpu",
        precision: str = "float32",
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.decoder = decoder
        self.rho = rho
        self.beta = beta
        self.corruption = corruption
        self.contractive = contractive
        self.l2 = l2
        self.n_iter = n_iter
        self.pretrain_solver = pretrain_solver
        self.pretrain_learning_rate = pretrain_learning_rate
        self.finetune = finetune
        self.max_iter = max_iter
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.verbose = verbose
        self.random_state = random_state
        self.scale = scale
        self.n_jobs = n_jobs
        self.device = device
        self.precision = precision

    def _fields(self) -> dict[str, Any]:
        rule = {"optimizer": self.pretrain_solver, "lr": self.pretrain_learning_rate}
        return {
            "model": "stacked",
            "activation": ACTIVATIONS.get(self.activation, self.activation),
            "autoencoder": {
                "decoder": ACTIVATIONS.get(self.decoder, self.decoder), "rho": self.rho, "beta": self.beta,
                "corruption": self.corruption, "contractive": self.contractive,
            },
            "pretrain": {"epochs": self.n_iter, "l2": self.l2, **rule},
            "l2": self.l2,
            **self._shared(),
        }  # fmt: skip


class DBN(_Stack):
    """A deep belief network: RBMs above each other (Hinton, Osindero & Teh 2006), in float32 by hdl's core.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int
    visible : {'binary', 'gaussian'}
        Units of the data; those above are binary.
    k, persistent, chains, momentum, l2 :
        Of every RBM, as of `BernoulliRBM`.
    n_iter : int
        Epochs of each RBM.
    learning_rate : float
        Of the RBMs.
    finetune : {'none', 'reconstruct'}
        'reconstruct': at the end all layers, unrolled, are trained as one autoencoder (Hinton & Salakhutdinov 2006),
        by `solver` with `learning_rate_init` for `max_iter` epochs.
    batch_size : int or 'auto'
    verbose, random_state, scale, n_jobs, device, precision :
        As of `BernoulliRBM`.

    Attributes
    ----------
    components_, mean_activations_, loss_curves_, n_iter_ :
        As of `StackedAutoencoder`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = load_digits().data / 16
    >>> DBN((32, 16), n_iter=3, random_state=1).fit(X).transform(X).shape
    (1797, 16)
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (256, 128),
        *,
        visible: str = "binary",
        k: int = 1,
        persistent: bool = False,
        chains: int = 100,
        momentum: float = 0.5,
        l2: float = 0.0,
        n_iter: int = 10,
        learning_rate: float = 0.05,
        finetune: str = "none",
        max_iter: int = 20,
        solver: str = "adam",
        learning_rate_init: float | None = None,
        batch_size: int | str = 10,
        verbose: bool | int = False,
        random_state: Any = None,
        scale: str = "auto",
        n_jobs: int | None = None,
        device: str = "cpu",
        precision: str = "float32",
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.visible = visible
        self.k = k
        self.persistent = persistent
        self.chains = chains
        self.momentum = momentum
        self.l2 = l2
        self.n_iter = n_iter
        self.learning_rate = learning_rate
        self.finetune = finetune
        self.max_iter = max_iter
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.verbose = verbose
        self.random_state = random_state
        self.scale = scale
        self.n_jobs = n_jobs
        self.device = device
        self.precision = precision

    def _fields(self) -> dict[str, Any]:
        fields = {
            "model": "dbn",
            "rbm": {"visible": self.visible, "k": self.k, "persistent": self.persistent, "chains": self.chains},
            "pretrain": {
                "epochs": self.n_iter, "optimizer": "momentum" if self.momentum else "sgd", "lr": self.learning_rate,
                "l2": self.l2,
            },
            **self._shared(),
        }  # fmt: skip
        fields["optimizer"]["momentum"] = self.momentum
        return fields
