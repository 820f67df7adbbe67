"""Random numbers from keys and counters alone: no hidden state, so a retried task draws what the first one drew.

The generator is Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), the same stream as
`hdl_random_u32` of the core. A seed and a purpose make a key (`derive`), and the counters (a, b, c) name the stream
below it, such as epoch and shard.

Every number that goes into weights or orders is made with integers and IEEE additions, products, quotients and square
roots, never with a library's logarithm, so that it is the same byte for byte on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Purposes: one stream of keys each. The numbers are part of the format: never reuse one, only add.
INIT, SHUFFLE, VALIDATION, DROPOUT, GENETIC, FITNESS, RESERVOIR, BLOCK, CHAINS = range(1, 10)
SAMPLING, ANNEALING = 16, 17  # of restricted Boltzmann machines
PATCHES = 32
FREQUENCIES = 33  # of periodic embeddings
MEMBERS = 34  # of ensembles
FOLDS = 40  # of cross-validation
GIBBS, FLIPS = 41, 42  # of an RBM as an estimator: the calls that draw, and the units that a score turns over
ROWS, PERMUTE = 48, 49  # of evaluation: rows that are drawn, and the orders of a column's cells
TRIALS, SHIFT = 56, 57  # of a search: the points of its trials, and the shift of a quasi-random sequence
POPULATION = 58  # of a search: what the children of its trials inherit, and how it is moved

_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_MULTIPLY = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = 0x9E3779B9, 0xBB67AE85
_CACHED = 1 << 13  # numbers whose logarithms are taken at once
_CHUNK = 1 << 14  # blocks made at once: their eight counters stay in the L2 cache


try:  # the core draws a hundred times sooner, which shows where epochs are short; the numbers are the same
    from hdl._cpu import random_u32 as _draw
except ImportError:
    _draw = None


def words(seed: int, a: int = 0, b: int = 0, c: int = 0, first: int = 0, n: int = 1) -> NDArray[np.uint32]:
    """Draw words first .. first + n of the stream (seed, a, b, c): the core's `hdl_random_u32`.

    Parameters
    ----------
    seed : int
        Key, 64 bits.
    a, b, c : int
        Counter words 1 to 3, 32 bits each.
    first, n : int
        Range of words; a stream has 2^34 of them.

    Returns
    -------
    ndarray of uint32 [n]
    """
    return (_draw or words_numpy)(seed, a, b, c, first, n)


def words_numpy(seed: int, a: int, b: int, c: int, first: int, n: int) -> NDArray[np.uint32]:
    """Draw `words` without the core."""
    start, stop = first // 4, (first + n + 3) // 4
    out = np.empty((stop - start, 4), np.uint32)
    for low in range(start, stop, _CHUNK):
        high = min(low + _CHUNK, stop)
        counter = np.empty((4, high - low), np.uint64)
        counter[0] = np.arange(low, high, dtype=np.uint64) & _LOW
        counter[1:] = np.array([a, b, c], np.uint64)[:, None] & _LOW
        out[low - start : high - start] = philox(seed, counter).T
    return out.ravel()[first - 4 * start :][:n]


def philox(seed: int, counter: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Encrypt counters by the generator: counters [4, n] of 32 bits to words [4, n] of 32 bits, both held in uint64."""
    key0, key1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for _ in range(10):
        product0, product1 = counter[0] * _MULTIPLY[0], counter[2] * _MULTIPLY[1]
        counter = np.stack(
            [
                (product1 >> _32) ^ counter[1] ^ np.uint64(key0),
                product1 & _LOW,
                (product0 >> _32) ^ counter[3] ^ np.uint64(key1),
                product0 & _LOW,
            ]
        )
        key0, key1 = (key0 + _WEYL[0]) & 0xFFFFFFFF, (key1 + _WEYL[1]) & 0xFFFFFFFF
    return counter


def derive(seed: int, purpose: int, a: int = 0, b: int = 0) -> int:
    """Derive a 64-bit key for a purpose (and two numbers more), so that purposes never share a stream."""
    low, high = words(seed, purpose, a, b, 0, 2).tolist()
    return high << 32 | low


def uniforms(seed: int, a: int = 0, b: int = 0, c: int = 0, first: int = 0, n: int = 1) -> NDArray[np.float64]:
    """Draw numbers in the open interval (0, 1), one from each word: (word + 1/2) / 2^32, exact in float64."""
    return (words(seed, a, b, c, first, n).astype(np.float64) + 0.5) * 2.0**-32


def normals(seed: int, a: int = 0, b: int = 0, c: int = 0, first: int = 0, n: int = 1) -> NDArray[np.float64]:
    """Draw standard normal numbers, one from each word, by the inverse of the distribution function.

    Algorithm AS 241, PPND16 (Wichura 1988): relative error about 1e-16. A 32-bit uniform is never nearer than
    1.2e-10 to 0 or 1, so the far tail of the algorithm is not needed and no number lies beyond 6.4.
    """
    return normal(uniforms(seed, a, b, c, first, n))


def normal(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the standard normal distribution's quantile at p in [2^-33, 1 - 2^-33], by `normals`' algorithm."""
    q = p - 0.5
    r = 0.180625 - q * q
    out = q * _ratio(r, _CENTRE)
    tail = np.abs(q) > 0.425
    if tail.any():
        small = np.minimum(p[tail], 1 - p[tail])
        r = np.sqrt(-log(small)) - 1.6
        out[tail] = np.copysign(_ratio(r, _TAIL), q[tail])
    return out


# Coefficients of numerator and denominator, highest power first.
_CENTRE = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
)  # fmt: skip
_TAIL = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
     3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0),
)  # fmt: skip


def _ratio(x: NDArray[np.float64], coefficients: tuple[tuple[float, ...], tuple[float, ...]]) -> NDArray[np.float64]:
    """Compute the quotient of two polynomials by Horner's rule."""
    above, below = (np.full_like(x, row[0]) for row in coefficients)
    for i in range(1, len(coefficients[0])):
        above = above * x + coefficients[0][i]
        below = below * x + coefficients[1][i]
    return above / below


def log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the natural logarithm from exact operations only: log(m·2^e) = e·log 2 + 2·artanh((m - 1)/(m + 1))."""
    if x.size > _CACHED and x.ndim == 1:  # the same numbers, twice as soon
        return np.concatenate([log(x[at : at + _CACHED]) for at in range(0, len(x), _CACHED)])
    m, e = np.frexp(x)
    low = m < 0.7071067811865476
    m, e = np.where(low, 2 * m, m), e - low
    s = (m - 1) / (m + 1)
    square = s * s
    series = np.full_like(s, 1 / 23)
    for odd in range(21, 0, -2):
        series = series * square + 1 / odd
    return e * 0.6931471805599453 + 2 * s * series


def order(seed: int, epoch: int, shard: int, n: int, window: int) -> NDArray[np.int64]:
    """Draw the order in which epoch `epoch` visits the `n` training samples of shard `shard`.

    Windows of `window` consecutive samples come in random order, the samples of each shuffled: a shard on disk is read
    a window at a time. A window of 0 leaves them in stored order.

    Returns
    -------
    ndarray of int64 [n]
        A permutation of 0 .. n.
    """
    if not window:
        return np.arange(n)
    key = derive(seed, SHUFFLE)
    draws = words(key, epoch, shard, 0, 0, n)
    if n <= window:
        return _shuffled(draws, 0)
    starts = _shuffled(words(key, epoch, shard, 1, 0, -(-n // window)), 0) * window
    return np.concatenate([_shuffled(draws[s : s + window], s) for s in starts.tolist()])


def _shuffled(draws: NDArray[np.uint32], start: int) -> NDArray[np.int64]:
    """Compute start + the stable argsort of `draws`: sorting (draw, index) as one integer is the same and faster."""
    pairs = draws.astype(np.uint64) << _32 | np.arange(draws.size, dtype=np.uint64)
    pairs.sort()
    return (pairs & _LOW).astype(np.int64) + start


def member(seed: int, shard: int, n: int, share: float, first: int = 0) -> NDArray[np.bool_]:
    """Tell which of the samples first .. first + n of a shard, in stored order, belong to the validation part.

    Parameters
    ----------
    share : float
        Probability of belonging, [0, 1).

    Returns
    -------
    ndarray of bool [n]
    """
    return words(derive(seed, VALIDATION), shard, 0, 0, first, n) < round(share * 2**32)


def stratified(seed: int, shard: int, strata: NDArray[np.integer], share: float) -> NDArray[np.bool_]:
    """Tell which samples of a shard belong to the validation part, where each stratum gives the same share of its own.

    Of n samples of a stratum floor(share·n + u) belong, those of the lowest draws. u is 1/2 in shard 0, so that the
    count is the nearest one there, and runs through the fractions of two (van der Corput 1935) with the shards, so that
    what is rounded in one shard is made up for in the others.

    Parameters
    ----------
    strata : ndarray of int [n]
        Of each sample in stored order, such as its class; below 0 belongs to none and is never chosen.
    share : float
        [0, 1).

    Returns
    -------
    ndarray of bool [n]
    """
    out = np.zeros(len(strata), bool)
    draws = words(derive(seed, VALIDATION), shard, 1, 0, 0, len(strata))
    order = np.lexsort((draws, strata))  # stable: equal draws stay in stored order
    _, starts, counts = np.unique(strata[order], return_index=True, return_counts=True)
    for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
        if strata[order[start]] >= 0:
            out[order[start : start + held_out(shard, count, share)]] = True
    return out


def held_out(shard: int, n: int, share: float) -> int:
    """Count how many of the n samples of a stratum `stratified` chooses in a shard.

    Examples
    --------
    >>> [held_out(shard, 3, 0.25) for shard in range(4)]
    [1, 0, 1, 1]
    """
    turn = round(2**32 * (van_der_corput(shard) + 0.5)) % 2**32
    return round(share * 2**32) * n + turn >> 32


def van_der_corput(n: int) -> float:
    """Mirror the binary digits of n at the point: 0, 1/2, 1/4, 3/4, 1/8, …

    Examples
    --------
    >>> [van_der_corput(n) for n in range(5)]
    [0.0, 0.5, 0.25, 0.75, 0.125]
    """
    return int(f"{n & 0xFFFFFFFF:032b}"[::-1], 2) / 2**32
