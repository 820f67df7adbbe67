"""The operations: forward, backward and update of a model, with one signature whatever carries them out.

`make` gives a `Reference` (NumPy: the mathematical truth, in float64 if the weights are), a `Core` (C, float32) or a
`Cuda` (a GPU), of a dense network, an autoencoder or an RBM. All have

    train(w, state, samples, order, batch, lr, first_step, key, progress) -> Result     # w, state overwritten
    gradient(w, samples, order, key, progress) -> (statistics [Q], Result)              # sums over samples
    forward(w, samples, order, progress) -> (out [n, O], Result)
    encode(w, samples, order, progress) -> codes [n, H]                                 # autoencoder, RBM

where Q is P, and more where the gradient is no sum over samples: see `layout`.

Letters: N samples, I inputs, O outputs, H hidden units, P parameters, S state vectors of the update rule.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdl.errors import SpecError
from hdl.ops.layout import Layout

if TYPE_CHECKING:
    from hdl.ops.cpu.dense import Core
    from hdl.ops.cuda.dense import Cuda
    from hdl.ops.reference.dense import Reference
    from hdl.spec import Spec

__all__ = ["NO_KEY", "Key", "Layout", "Progress", "Result", "Samples", "Work", "make", "rates", "steps", "train_all"]

# Of each model that is trained at once: its module in a backend's package, and the beginning of its classes' names.
_HOMES = {"mlp": ("dense", ""), "autoencoder": ("autoencoder", "Autoencoder"), "rbm": ("rbm", "Rbm")}

Progress = Callable[[int, int], Any]  # (steps done, steps); a true answer stops the call


@dataclass(frozen=True)
class Samples:
    """Samples as the core reads them.

    Parameters
    ----------
    x : ndarray of uint8 or float32 [N, I], or CSR
        CSR is anything with `data`, `indices`, `indptr` and `shape`, such as SciPy's csr_array.
    y : ndarray of int32 [N] or float32 [N, O], optional
        Classes or targets; None for prediction.
    scale, shift : ndarray of float32 [I], optional
        The net sees x·scale + shift. Sparse input takes no shift.
    """

    x: Any
    y: NDArray | None = None
    scale: NDArray[np.float32] | None = None
    shift: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return self.x.shape[0]


@dataclass
class Result:
    """What a pass saw. Results add up.

    Attributes
    ----------
    cost : float
        Sum over samples of the data cost, without regulariser; 0 without targets.
    correct : int
        Samples with the right class, or with all outputs on the right side of 1/2.
    samples, steps : int
        How many were seen and taken.
    """

    cost: float = 0.0
    correct: int = 0
    samples: int = 0
    steps: int = 0

    def __add__(self, other: Result) -> Result:
        return Result(
            self.cost + other.cost,
            self.correct + other.correct,
            self.samples + other.samples,
            self.steps + other.steps,
        )


class Key(NamedTuple):
    """Names the stream of dropout masks; step, layer and row are added by the operation."""

    seed: int = 0
    round: int = 0
    shard: int = 0


NO_KEY = Key()


class Work(NamedTuple):
    """What `train` is given for one of the nets that are trained side by side; all have one batch.

    `spec` is the net's own where it is not that of the operations: it may differ in what `meeting.alike` leaves out.
    """

    w: NDArray
    state: NDArray
    samples: Samples
    order: NDArray[np.int64]
    lr: NDArray[np.float32]
    first_step: int = 0
    key: Key | None = None
    more: dict[str, NDArray] = {}  # noqa: RUF012 - never written to
    spec: Spec | None = None


def make(spec: Spec, backend: str = "cpu", threads: int = 1, isa: str | None = None) -> Core | Cuda | Reference:
    """The operations of a spec whose net and loss are known.

    Parameters
    ----------
    spec : Spec
    backend : {'cpu', 'reference', 'cuda:0', …}
        What `hdl.devices.resolve` gives, or the reference.
    threads : int
        Of the C core. The weights do not depend on it.
    isa : {'avx512', 'avx2', 'generic'}, optional
        Kernels of the C core; None for the best that this processor runs (or the environment's HDL_ISA).
    """
    if spec.net is None or min(spec.net) < 1 or spec.loss is None:
        raise SpecError(f"net {spec.net}, loss {spec.loss}: not yet filled in from the data")
    module, prefix = _HOMES[spec.model]

    def home(backend: str, name: str) -> Any:
        return getattr(importlib.import_module(f"hdl.ops.{backend}.{module}"), f"{prefix}{name}")

    if backend == "reference":
        return home("reference", "Reference")(spec)
    if backend == "cpu":
        return home("cpu", "Core")(spec, threads, isa)
    if backend.startswith("cuda"):
        return home("cuda", "Cuda")(spec, backend)
    raise SpecError(f"backend: {backend!r}: expected 'cpu', 'reference' or 'cuda:N'")


def train_all(operations: Any, works: Sequence[Work], batch: int, progress: Progress | None = None) -> list[Result]:
    """`operations.train` of each, with the same result whether they went one by one or, on a GPU, side by side."""
    if together := getattr(operations, "train_all", None):
        return together(works, batch, progress)
    return [
        operations.train(work.w, work.state, work.samples, work.order, batch, work.lr, work.first_step, work.key,
                         progress, **work.more)
        for work in works
    ]  # fmt: skip


def steps(n: int, batch: int) -> int:
    """Mini-batches in n samples: a last, smaller one counts."""
    return -(-n // batch)


def rates(spec: Spec, first: int, count: int, per_epoch: int) -> NDArray[np.float32]:
    """Learning rates of the steps first .. first + count, by the spec's schedule.

    Step s happens at t = s / per_epoch epochs (`hdl.spec.Schedule` has the formulas). During `warmup` epochs the rate
    is also multiplied by (s + 1) / (warmup·per_epoch), so that the first step already moves.

    Parameters
    ----------
    first, count : int
        Range of steps, counted over the whole training.
    per_epoch : int
        Steps in an epoch.

    Returns
    -------
    ndarray of float32 [count]
    """
    rule = spec.optimizer
    schedule = rule.schedule
    step = np.arange(first, first + count, dtype=np.float64)
    t = step / per_epoch
    if schedule.name == "inverse":
        lr = rule.rate / (1 + schedule.decay * t)
    elif schedule.name == "exponential":
        lr = rule.rate * schedule.decay**t
    elif schedule.name == "step":
        lr = rule.rate * schedule.decay ** np.floor(t / schedule.every)
    elif schedule.name == "cosine":
        lr = rule.rate * 0.5 * (1 + np.cos(np.pi * np.minimum(t / spec.epochs, 1)))
    else:
        lr = np.full(count, rule.rate)
    if schedule.warmup:
        lr = lr * np.minimum((step + 1) / (schedule.warmup * per_epoch), 1)
    return lr.astype(np.float32)
