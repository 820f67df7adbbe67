"""bfloat16 in products, as the C core has it: what its factors are rounded to, and the order of its sums.

A factor is rounded to the nearest of the numbers that have 8 bits of mantissa, of two the even one; one below 2⁻⁵⁶
counts as 0, so that no product, and no sum of products, is denormal in float32. Sums, weights and all else stay
float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl.errors import SpecError

if TYPE_CHECKING:
    from hdl.spec import Spec

BF16 = "bf16"
SMALLEST = np.float32(2.0**-56)  # of a factor
SMALLEST_BIAS = np.float32(2.0**-102)  # of a number that a sum begins with


def round_bf16(x: NDArray) -> NDArray:
    """Round factors to bfloat16; they keep their type.

    Examples
    --------
    >>> round_bf16(np.float32([1.00390625, 1.01171875, 1e-20])).tolist()
    [1.0, 1.015625, 0.0]
    """
    single = np.ascontiguousarray(x, np.float32)
    bits = single.view(np.uint32)
    near = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    near = np.where(np.isnan(single), single, near)
    return np.where(np.abs(single) < SMALLEST, 0, near).astype(x.dtype)


def product(spec: Spec, a: NDArray, b: NDArray, bias: NDArray | None = None) -> NDArray:
    """Multiply a [B, K] by b [K, O] in the spec's precision, added to a bias [O].

    In bfloat16 and float32 this is what the core computes, to the bit: of each two neighbours along K the odd one's
    product is added first, then the even one's, each rounded.
    """
    if spec.precision != BF16:
        return a @ b if bias is None else a @ b + bias
    a, b = round_bf16(a), round_bf16(b)
    if a.dtype != np.float32:
        return a @ b if bias is None else a @ b + bias
    start = np.float32(0) if bias is None else np.where(np.abs(bias) < SMALLEST_BIAS, np.float32(0), bias)
    total = np.zeros((len(a), b.shape[1]), np.float32) + start
    for k in range(0, a.shape[1], 2):
        for each in (k + 1, k):
            if each < a.shape[1]:
                total += np.outer(a[:, each], b[each])
    return total


def check(spec: Spec) -> None:
    """Refuse a model that the C core does not train in the precision that is asked for.

    Raises
    ------
    SpecError
    """
    if spec.precision == BF16 and spec.model in ("rbm", "dbn"):
        raise SpecError(
            f"precision bf16: model {spec.model} multiplies in float32 on a CPU: --precision float32, or a GPU by "
            "--device cuda"
        )
