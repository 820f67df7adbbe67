"""The interface that every backend has.

Letters: N samples, I inputs, O outputs, H hidden units, P parameters, Q statistics, S state vectors of the update rule,
C persistent chains, n samples asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl.errors import SpecError
from hdl.ops import layout as layouts
from hdl.ops import tuning
from hdl.ops.layout import Layout
from hdl.ops.types import Key, Progress, Result, Samples, Work

if TYPE_CHECKING:
    from hdl.spec import Spec


class Operations(ABC):
    """Forward, backward and update of one model: the interface of every backend.

    Parameters
    ----------
    spec : Spec
        With net and loss filled in.

    Attributes
    ----------
    spec : Spec
    layout : Layout
        Where each parameter lies in w [P].
    state_vectors : int
        S, the vectors [P] that the update rule keeps; with L2-SP one more, the last: the weights that it pulls to.
    platform : str
        What computes: 'reference', the instruction set of the C core's kernels, or the GPU's name. Workers of one
        training must have the same.
    """

    spec: Spec
    layout: Layout
    state_vectors: int
    platform: str

    def __init__(self, spec: Spec):
        self.spec = spec
        self.layout = layouts.of(spec)
        self.state_vectors = tuning.state_vectors(spec)

    @abstractmethod
    def train(
        self,
        w: NDArray,
        state: NDArray,
        samples: Samples,
        order: NDArray[np.int64],
        batch: int,
        lr: NDArray[np.float32],
        first_step: int = 0,
        key: Key | None = None,
        progress: Progress | None = None,
        chains: NDArray | None = None,
    ) -> Result:
        """Take mini-batch steps over `order`; w [P], state [S, P] and chains [C, I] are overwritten.

        Parameters
        ----------
        w : ndarray [P]
        state : ndarray [S, P]
        samples : Samples
        order : ndarray of int64
            Samples in the order of their use; it may repeat and skip some, and hold several epochs.
        batch : int
            Samples of a step; the last one may have fewer.
        lr : ndarray of float32 [steps]
        first_step : int
            Steps taken before: counts for Adam and for random numbers.
        key : Key, optional
            Of the random numbers.
        progress : callable of (steps done, steps), optional
            A true answer stops the call.
        chains : ndarray [C, I], optional
            Particles of an RBM with `rbm.persistent`, which needs them; no other model takes any.

        Returns
        -------
        Result
            Each mini-batch as it was before its step.

        Raises
        ------
        NonFinite
            The cost became NaN or infinite; w, state and chains are as they were.
        Interrupted
            w, state and chains hold the last whole step.
        SpecError
        """

    def train_all(self, works: Sequence[Work], batch: int, progress: Progress | None = None) -> list[Result]:
        """Train several nets as `train` would, one after the other; a GPU trains them side by side.

        Parameters
        ----------
        works : sequence of Work
            Each has its own weights, state, samples, order, rates and key, and gets the bytes that it would get alone.
        batch : int
        progress : callable of (steps done, steps), optional

        Returns
        -------
        list of Result
            Of each work.

        Raises
        ------
        NonFinite, Interrupted, SpecError
            As of `train`.
        """
        return [
            self.train(work.w, work.state, work.samples, work.order, batch, work.lr, work.first_step, work.key,
                       progress, work.chains)
            for work in works
        ]  # fmt: skip

    def together(self, batch: int) -> int:
        """Count the nets that `train_all` has side by side at most."""
        return 1

    @abstractmethod
    def gradient(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        key: Key | None = None,
        progress: Progress | None = None,
        chains: NDArray | None = None,
    ) -> tuple[NDArray, Result]:
        """Sum the gradient's statistics [Q] over samples, without regulariser; random numbers are those of step 0.

        Q is P, and more where the gradient is no sum over samples: see `Layout.combine`.

        Parameters
        ----------
        w : ndarray [P]
        samples : Samples
        order : ndarray of int64 [n], optional
            Which of them; None for all.
        key, progress, chains :
            As of `train`.

        Returns
        -------
        ndarray [Q], Result

        Raises
        ------
        NonFinite, Interrupted, SpecError
        """

    @abstractmethod
    def forward(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> tuple[NDArray, Result]:
        """Compute outputs [n, O]: probabilities, values or reconstructions, with nothing dropped or drawn.

        Parameters
        ----------
        w : ndarray [P]
        samples : Samples
            With targets the result has cost and correct too.
        order : ndarray of int64 [n], optional
            Which of them; None for all.
        progress : callable of (steps done, steps), optional

        Returns
        -------
        ndarray [n, O], Result

        Raises
        ------
        NonFinite, Interrupted, SpecError
        """

    def encode(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> NDArray:
        """Compute codes [n, H] of an autoencoder or RBM, with nothing corrupted or drawn.

        Parameters
        ----------
        w, samples, order, progress :
            As of `forward`.

        Returns
        -------
        ndarray [n, H]

        Raises
        ------
        SpecError
            The model is a dense network: `hdl.models.codes.Encoder` gives the codes of its layers.
        """
        raise no_codes(self.spec)


class SideBySide(Operations):
    """Operations that train several nets in one call; one net is a call of one work."""

    @abstractmethod
    def train_all(self, works: Sequence[Work], batch: int, progress: Progress | None = None) -> list[Result]:
        """Train several nets side by side: see `Operations.train_all`."""

    def train(
        self,
        w: NDArray,
        state: NDArray,
        samples: Samples,
        order: NDArray[np.int64],
        batch: int,
        lr: NDArray[np.float32],
        first_step: int = 0,
        key: Key | None = None,
        progress: Progress | None = None,
        chains: NDArray | None = None,
    ) -> Result:
        """Take mini-batch steps over `order`: see `Operations.train`."""
        return self.train_all([Work(w, state, samples, order, lr, first_step, key, chains)], batch, progress)[0]


def check_chains(spec: Spec, chains: NDArray | None) -> None:
    """Refuse chains [C, I] that are not those of the model.

    Raises
    ------
    SpecError
        They are missing, have another shape, or the model keeps none.
    """
    if spec.model != "rbm" or not spec.rbm.persistent:
        if chains is not None:
            kind = "RBM" if spec.model == "rbm" else "model"
            raise SpecError(f"chains are for persistent contrastive divergence: this {kind} keeps none")
        return
    expected = (spec.rbm.chains, spec.widths[0])
    if chains is None:
        raise SpecError(f"chains is missing, expected {expected[0]} particles of {expected[1]} units")
    if chains.shape != expected:
        raise SpecError(f"chains has shape {chains.shape}, expected {expected}")


def check_weights(spec: Spec, samples: Samples) -> None:
    """Refuse weights [N] and an offset [N, O] of samples that a model cannot take.

    Raises
    ------
    SpecError
        The model learns without labels; a shape does not fit; a weight is negative or not finite, or an offset is not.
    """
    weight, offset = samples.weight, samples.offset
    if spec.model != "mlp" and (weight is not None or offset is not None):
        raise SpecError(f"model {spec.model} learns without labels: it takes no weights of samples and no offset")
    for name, given, shape in (
        ("weight", weight, (len(samples),)),
        ("offset", offset, (len(samples), spec.widths[-1])),
    ):
        if given is not None and given.shape != shape:
            raise SpecError(f"{name} has shape {given.shape}, expected {shape}")
    if weight is not None and len(bad := np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))):
        raise SpecError(f"the weight of sample {bad[0]} is {weight[bad[0]]:g}, expected a finite number of at least 0")
    if offset is not None and len(bad := np.flatnonzero(~np.isfinite(offset).all(axis=1))):
        raise SpecError(f"the offset of sample {bad[0]} is {offset[bad[0]].tolist()}, expected finite numbers")


def no_codes(spec: Spec) -> SpecError:
    """Make the error of `encode` for a model without a layer of codes."""
    return SpecError(f"model {spec.model}: `encode` is of autoencoders and RBMs")
