"""Programs for the CUDA core: a model's step as a table of operations (csrc/cuda/hdl_cuda.h has their meaning).

A program has phases; a barrier is between two of them. Phase 0 comes once, before the first mini-batch: it gathers that
one's samples. Later ones are gathered while the weights are updated, into a second buffer.

Letters: B rows of a mini-batch, I inputs, O outputs, L layers, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hdl._cpu import ACTIVATIONS as _ACTIVATIONS
from hdl._cpu import LOSSES as _LOSSES
from hdl.ops import losses, tuning
from hdl.ops.layout import EmbeddingLayout, Layout

if TYPE_CHECKING:
    from hdl.spec import Spec

W, S, T, G = range(4)  # arenas: weights, state, working memory, what goes out
NN, NT, TN, GATHER, LOSS, MAX_NORM, FILL, NORMS, CONTRACTIVE = range(9)
ACTIVATE, DERIVE, DRAW, UPDATE, ADD, SPARSITY = range(6)  # epilogues of products
LOSSES = {name: number for number, name in enumerate(_LOSSES)}
ACTIVATIONS = {name: number for number, name in enumerate(_ACTIVATIONS)}
SIZES = {1: 32, 2: 64, 3: 128}  # sides of a block's tiles
# Tiles that make the larger ones worth while: less would leave most of a large GPU without work.
ENOUGH = 96
# Floats of weights, state and working memory that a block may keep in its shared memory: 224 of 227 KiB of an H100's.
RESIDENT = 224 * 256


@dataclass(frozen=True)
class Matrix:
    """A matrix in an arena; `buffer_stride` leads to its second buffer, which odd steps use."""

    at: int
    ld: int
    arena: int = T
    buffer_stride: int = 0
    place: int = 0

    def column(self, number: int) -> Matrix:
        """Return the matrix from that column on."""
        return replace(self, at=self.at + number)

    def row(self, number: int) -> Matrix:
        """Return the matrix from that row on."""
        return replace(self, at=self.at + number * self.ld)

    def halves(self) -> Matrix:
        """Split each row into two, one after the other."""
        return replace(self, ld=self.ld // 2)

    def fields(self) -> dict[str, int]:
        return dict(vars(self))


@dataclass
class Program:
    """Operations in phases, and how much working memory they take.

    Attributes
    ----------
    rows : int
        The largest mini-batch.
    resident : bool
        Small enough for one block's shared memory: products are cut into warps' tiles.
    memory : int
        Floats of working memory.
    tiles : int
        Of the phase that has most, in blocks.
    """

    rows: int
    memory: int = 0
    phases: list[list[dict[str, Any]]] = field(default_factory=lambda: [[]])
    resident: bool = False

    def matrix(self, columns: int, buffers: int = 1, rows: int | None = None) -> Matrix:
        """Reserve working memory [B, columns]; rows begin at 16 bytes, so that they are copied by four floats."""
        ld = padded(columns)
        at, size = self.memory, (self.rows if rows is None else rows) * ld
        self.memory += size * buffers
        return Matrix(at, ld, T, size if buffers > 1 else 0)

    def phase(self) -> None:
        """Begin a phase: operations added from here on wait for those added before."""
        if self.phases[-1] or len(self.phases) == 1:  # the first may be filled later
            self.phases.append([])

    def add(self, kind: int, c: Matrix | None = None, at: int = -1, **fields: Any) -> None:
        """Add one operation to the last phase or to phase `at`; fields that are None are left out."""
        self.phases[at].append({"kind": kind, "c": c, **fields})

    def lay(self, operations: Iterable[dict[str, Any]], first: int = 1) -> None:
        """Add operations to phases one after the other, beside those that are there."""
        for number, each in enumerate(operations, first):
            self.phases += [[] for _ in range(len(self.phases), number + 1)]
            self.phases[number].append(each)

    def gather(self, x: Matrix, inputs: int, **fields: Any) -> None:
        """Add the gathering of each mini-batch's samples into x, with a column of ones beside them.

        With two buffers the first mini-batch's come in phase 0, those of each next one in the last phase; else they
        are what a mini-batch begins with.
        """
        self.column(x.column(inputs), 1.0)
        if x.buffer_stride:
            self.add(GATHER, x, at=0, m=-1, n=inputs, **fields)
            self.add(GATHER, x, m=-1, n=inputs, ahead=1, **fields)
        else:
            self.phases.insert(1, [{"kind": GATHER, "c": x, "m": -1, "n": inputs, **fields}])

    def column(self, c: Matrix, value: float, rows: int | None = None) -> None:
        """Fill a column with a value once, in both buffers."""
        for offset in sorted({0, c.buffer_stride}):
            self.add(FILL, Matrix(c.at + offset, c.ld), at=0, m=self.rows if rows is None else rows, n=1, scalar=value)

    def settle(self, room: int) -> None:
        """Choose tiles; `room`: floats that weights and state take."""
        self.resident = self.memory + room <= RESIDENT
        for phase in self.phases:
            for each in phase:
                if each["kind"] <= TN:
                    each["tile"] = 0 if self.resident else self._tile(self._extent(each["m"]), self._extent(each["n"]))

    def _extent(self, n: int) -> int:
        return -n * self.rows if n < 0 else n

    @staticmethod
    def _tile(m: int, n: int) -> int:
        return next((tile for tile in (3, 2) if -(-m // SIZES[tile]) * -(-n // SIZES[tile]) >= ENOUGH), 1)

    @property
    def tiles(self) -> int:
        return max(sum(self._blocks(each) for each in phase) for phase in self.phases)

    @property
    def largest_tile(self) -> int:
        """Return the largest tile of all operations."""
        return max((each.get("tile", 0) for phase in self.phases for each in phase), default=0)

    def _blocks(self, each: dict[str, Any]) -> int:
        m, n = self._extent(each.get("m", 0)), self._extent(each["n"])
        if each["kind"] > TN or not each["tile"]:
            return -(-m // 8) or 1
        return -(-m // SIZES[each["tile"]]) * -(-n // SIZES[each["tile"]])

    def packed(self, operation: Callable[..., bytes]) -> tuple[bytes, np.ndarray]:
        """Pack the table, and list where in it each phase begins, with its end: int32 [phases + 1]."""
        flat = [each for phase in self.phases for each in phase]
        plain = [
            {
                name: value.fields() if isinstance(value, Matrix) else value
                for name, value in each.items()
                if value is not None
            }
            for each in flat
        ]
        bounds = np.cumsum([0] + [len(phase) for phase in self.phases], dtype=np.int32)
        return b"".join(operation(**each) for each in plain), bounds


def fitted(make: Callable[[int], Program]) -> Program:
    """Make the program for two buffers of samples, or for one if only so it is resident."""
    wide = make(2)
    return narrow if not wide.resident and (narrow := make(1)).resident else wide


class Tables:
    """Operations of a network's tables of embedded categories: products with the gathered inputs, most of which are 0.

    Parameters
    ----------
    program : Program
    layout : EmbeddingLayout
    x : Matrix
        Gathered inputs [B, I].
    """

    def __init__(self, program: Program, layout: EmbeddingLayout, x: Matrix):
        self._program, self._layout, self._x, width = program, layout, x, layout.dense[0]
        self.vectors, self._delta = program.matrix(width + 1), program.matrix(width)
        program.column(self.vectors.column(width), 1.0)

    def forward(self) -> None:
        """Add a phase in which numbers and vectors [B, K + Σ d] are made of the inputs."""
        self._program.phase()
        if self._layout.numbers:
            self._program.add(FILL, self.vectors, a=self._x, m=-1, n=self._layout.numbers)
        for at, levels, d, inputs, column in self._each():
            self._program.add(NN, self.vectors.column(column), a=inputs, b=Matrix(at, d, W), m=-1, n=d, k=levels,
                              epilogue=ACTIVATE, function=ACTIVATIONS["linear"])  # fmt: skip

    def backward(self, delta: Matrix, weights: Matrix, width: int) -> None:
        """Add a phase in which the cost's gradient by what enters the first layer is made of its delta."""
        self._program.phase()
        self._program.add(NT, self._delta, a=delta, b=weights, m=-1, n=self._layout.dense[0], k=width,
                          d=self.vectors, epilogue=DERIVE, function=ACTIVATIONS["linear"])  # fmt: skip

    def update(self, train: bool, rate: float) -> None:
        """Add to the last phase the sums of the tables' gradients."""
        for at, levels, d, inputs, column in self._each():
            table = Matrix(at, d, W if train else G)
            self._program.add(TN, table, a=inputs, b=self._delta.column(column), m=levels, n=d, k=-1,
                              epilogue=UPDATE if train else ADD, penalised_rows=0, rate=rate)  # fmt: skip

    def _each(self) -> Iterable[tuple[int, int, int, Matrix, int]]:
        """List of each table its offset, levels, vectors' length, inputs, and where its vectors go."""
        at, row, column = 0, self._layout.numbers, self._layout.numbers
        for levels, d in self._layout.embeddings:
            yield at, levels, d, self._x.column(row), column
            at, row, column = at + levels * d, row + levels, column + d


def dense(spec: Spec, layout: Layout, rows: int, what: str, state_vectors: int, buffers: int = 2) -> Program:
    """Make a dense network's program for the task `what`: 'train', 'gradient' or 'forward'.

    Each layer's values have a column of ones, so that W_l and b_l, which follow each other, are one matrix [I + 1, O].
    """
    assert spec.loss is not None
    widths, offsets = spec.widths, layout.offsets
    hidden: dict[str, Any] = {"function": ACTIVATIONS[spec.activation], "leak": spec.leak}
    drop = dropped(spec.dropout if what != "forward" else 0.0)
    program, layers = Program(rows), len(widths) - 1
    rates = tuning.factors(spec) or (1.0,) * (layers + 1)
    x = program.matrix(widths[0] + 1, buffers)
    tables = None
    if isinstance(layout, EmbeddingLayout):
        widths, tables = layout.dense, Tables(program, layout, x)
        tables.forward()
    values = (
        [tables.vectors if tables else x]
        + [program.matrix(width + 1) for width in widths[1:-1]]
        + [program.matrix(widths[-1])]
    )
    for value, width in zip(values[1:-1], widths[1:-1], strict=True):
        program.column(value.column(width), 1.0)
    weights = [Matrix(at, width, W) for (at, _), width in zip(offsets, widths[1:], strict=True)]
    for layer in range(layers):
        program.phase()
        how = {**hidden, "layer": layer + 1, **drop} if layer + 1 < layers else {"function": ACTIVATIONS["linear"]}
        program.add(NN, values[layer + 1], a=values[layer], b=weights[layer], m=-1, n=widths[layer + 1],
                    k=widths[layer] + 1, epilogue=ACTIVATE, **how)  # fmt: skip
    program.phase()
    scores: dict[str, Any] = {"a": values[-1], "m": -1, "n": widths[-1], "function": LOSSES[spec.loss],
                              "scalar": losses.parameter(spec)}  # fmt: skip
    if what == "forward":
        program.add(LOSS, d=Matrix(0, widths[-1], G, place=1), **scores)
    else:
        # The output's delta takes the place of what made it.
        deltas = [program.matrix(width) for width in widths[1:-1]] + [values[-1]]
        program.add(LOSS, values[-1], beta=spec.label_smoothing, **scores)
        # Deltas are made down to the lowest layer that is trained.
        embeds = tables is not None and rates[0]
        lowest = 0 if embeds else next(layer for layer in range(layers) if rates[layer + 1])
        for layer in range(layers - 1, lowest, -1):
            program.phase()
            program.add(NT, deltas[layer - 1], a=deltas[layer], b=weights[layer], m=-1, n=widths[layer],
                        k=widths[layer + 1], d=values[layer], epilogue=DERIVE, keep=drop.get("keep", 0.0),
                        **hidden)  # fmt: skip
        if tables and embeds:
            tables.backward(deltas[0], weights[0], widths[1])
        program.phase()
        if tables and embeds:
            tables.update(what == "train", rates[0])
        for layer in range(lowest, layers):
            if not rates[layer + 1]:
                continue
            at = weights[layer] if what == "train" else Matrix(offsets[layer][0], widths[layer + 1], G)
            program.add(TN, at, a=values[layer], b=deltas[layer], m=widths[layer] + 1, n=widths[layer + 1], k=-1,
                        epilogue=UPDATE if what == "train" else ADD, penalised_rows=widths[layer],
                        rate=rates[layer + 1])  # fmt: skip
    program.gather(x, spec.widths[0], **dropped(spec.input_dropout if what != "forward" else 0.0))
    if what == "train" and spec.max_norm:
        program.phase()
        for layer in range(layers):
            if not rates[layer + 1]:
                continue
            program.add(MAX_NORM, weights[layer], n=widths[layer + 1], k=widths[layer])
    program.settle(layout.size * (1 + state_vectors))
    return program


def padded(columns: int) -> int:
    """Count the floats of a row that begins at 16 bytes as the one before it did."""
    return -(-columns // 4) * 4


def dropped(share: float) -> dict[str, Any]:
    """Name the fields of an operation whose values are dropped with that probability."""
    if not share:
        return {}
    return {"drop": int(65536 * np.float32(share) + 0.5), "keep": 1 / (1 - float(np.float32(share)))}
