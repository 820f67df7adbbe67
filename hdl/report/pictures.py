"""Pictures of what a model has learned, as PNG files: tiles in a grid, and the histogram of average activations.

Letters: n tiles, h and w their pixels, I inputs, H hidden units.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from hdl.report.figures import _matplotlib

TILES = 256  # shown at most
WIDTH = 1000  # pixels of a grid, about


def shaped(x: NDArray, shape: tuple[int, ...]) -> NDArray:
    """Reshape rows [n, I] to tiles [n, h, w], or [n, h, w, 3] of colours.

    Parameters
    ----------
    shape : (h, w) or (h, w, channels)
        Of I numbers altogether.
    """
    tiles = np.asarray(x, np.float64).reshape(len(x), *shape)
    return tiles[..., 0] if tiles.ndim == 4 and tiles.shape[3] == 1 else tiles


def features(w: NDArray, shape: tuple[int, ...]) -> NDArray:
    """Make tiles in [0, 1] of the inputs that hidden units answer most to.

    Among inputs of one length that is x = w_j / ‖w_j‖ (Ng 2011). Grey is 0, and each tile's largest magnitude black
    or white. Of more than 256 units those with the longest weights are shown, in the order of their numbers.

    Parameters
    ----------
    w : ndarray [I, H]
    shape : (h, w) or (h, w, channels)
    """
    lengths = np.linalg.norm(w, axis=0)
    shown = np.sort(np.argsort(-lengths, kind="stable")[:TILES])
    x = (w[:, shown] / np.maximum(lengths[shown], 1e-30)).T
    largest = np.maximum(np.abs(x).max(axis=1, keepdims=True), 1e-30)
    return shaped(0.5 + x / (2 * largest), shape)


def values(x: NDArray, shape: tuple[int, ...], low: float | None = None, high: float | None = None) -> NDArray:
    """Turn data [n, I] into tiles in [0, 1], of which 0 is `low` and 1 `high` (default: the least and the largest)."""
    low = float(x.min(initial=np.inf)) if low is None else low
    high = float(x.max(initial=-np.inf)) if high is None else high
    return shaped(np.clip((np.asarray(x, np.float64) - low) / ((high - low) or 1), 0, 1), shape)


def grid(tiles: NDArray, columns: int | None = None) -> NDArray[np.uint8]:
    """Put tiles [n, h, w] or [n, h, w, 3] in [0, 1] into one picture, each pixel of theirs a square.

    Parameters
    ----------
    columns : int, optional
        None: as many as make it about a square.

    Returns
    -------
    ndarray of uint8 [height, width, 3]
    """
    if tiles.ndim == 3:
        tiles = np.repeat(tiles[..., None], 3, axis=3)
    n, height, width, _ = tiles.shape
    columns = columns or max(1, round(np.sqrt(n * height / width)))
    rows = -(-n // columns)
    zoom = max(1, WIDTH // (columns * (width + 1)))
    gap = max(1, zoom // 3)
    down, right = height * zoom + gap, width * zoom + gap
    out = np.full((rows * down + gap, columns * right + gap, 3), 255, np.uint8)
    pixels = np.round(255 * np.clip(np.nan_to_num(tiles), 0, 1)).astype(np.uint8).repeat(zoom, 1).repeat(zoom, 2)
    for number, tile in enumerate(pixels):
        top, left = gap + number // columns * down, gap + number % columns * right
        out[top : top + height * zoom, left : left + width * zoom] = tile
    return out


def beside(originals: NDArray, reconstructions: NDArray, columns: int = 16) -> NDArray[np.uint8]:
    """Put the reconstructions right below each row of originals; tiles [n, h, w] or [n, h, w, 3]."""
    columns = min(columns, len(originals))
    pairs = []
    for low in range(0, len(originals) - len(originals) % columns, columns):
        both = [originals[low : low + columns], reconstructions[low : low + columns]]
        pairs.append(grid(np.concatenate(both), columns))
    band = np.full((max(4, pairs[0].shape[0] // 8), *pairs[0].shape[1:]), 255, np.uint8)
    return np.concatenate([part for pair in pairs for part in (pair, band)][:-1])


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Write a picture [height, width, 3] as a PNG file; equal pictures give equal bytes."""
    buffer = io.BytesIO()
    _matplotlib(".image").imsave(buffer, pixels, format="png", metadata={"Software": None})
    return buffer.getvalue()


def histogram(means: NDArray, target: float | None) -> bytes:
    """Draw the histogram of hidden units' average activations ρ̂ as a PNG file; a line marks the target ρ."""
    figure = _matplotlib(".figure").Figure(figsize=(5.4, 3.1), layout="constrained")
    axes = figure.subplots()
    axes.hist(np.asarray(means, np.float64), bins=min(40, max(10, len(means) // 8)), color="#2563eb")
    if target is not None:
        axes.axvline(target, color="#ea6c10", linewidth=1.8)
    axes.set_xlabel("average activation" + ("" if target is None else f"; the line is ρ = {target:g}"))
    axes.set_ylabel("hidden units")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()
