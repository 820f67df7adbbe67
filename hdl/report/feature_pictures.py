"""The pictures of a table whose network learned features: autoencoders, RBMs, and stacks of either.

Letters: n samples, I inputs, H codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdl import data
from hdl.errors import HdlError
from hdl.models import codes
from hdl.models.stack import Layer
from hdl.ops import Samples
from hdl.ops.transformed import scaled
from hdl.predict import Model
from hdl.report import pictures
from hdl.spec import Spec
from hdl.table import layers

SAMPLES = 10_000  # read for reconstructions and average activations
SHOWN = 64  # reconstructions, in rows of 16
DRAWN, STEPS = 100, 200  # samples of an RBM, and Gibbs steps that lead to them


@dataclass(frozen=True)
class Picture:
    """A picture for the report, and as a file beside the table.

    Parameters
    ----------
    name : str
        Of the file, without its suffix.
    title, note : str
    png : bytes
    """

    name: str
    title: str
    note: str
    png: bytes


@dataclass(frozen=True)
class Chain:
    """Layers that learned features, from the data upwards.

    Parameters
    ----------
    layers : list of (spec, weights)
    """

    layers: list[Layer]

    @property
    def top(self) -> tuple[Spec, NDArray, list[Layer]]:
        """Return the topmost layer's spec and weights, and the layers below it."""
        (spec, w), below = self.layers[-1], self.layers[:-1]
        return spec, w, below


def chain(model: Model) -> Chain | None:
    """Return the layers that a table's network is, or began with; None for a network that learned from labels alone."""
    if model.spec.model != "mlp":
        return Chain([*model.below, (model.spec, model.w)])
    if "stack" not in model.about:
        return None
    models = [Model(table.path) for table in layers(model.path)]
    return Chain([(layer.spec, layer.w) for layer in models]) if models else None


def of(model: Model, shape: tuple[int, ...] | None) -> list[Picture]:
    """Make all pictures that a model and its training data give.

    Parameters
    ----------
    model : Model
    shape : (h, w) or (h, w, channels), optional
        Of the inputs, where they are images; without it there is the histogram alone.

    Raises
    ------
    Unavailable
        matplotlib is not installed.
    """
    learned = chain(model)
    if learned is None:
        return []
    drawings = _features(model, learned, shape) if shape else []
    samples = _samples(model)
    if samples is not None and shape:
        drawings.append(_reconstructions(model, learned, samples, shape))
    if shape and learned.layers[-1][0].model == "rbm":
        drawings.append(_drawn(model, learned, shape))
    if samples is not None:
        drawings.append(_activations(model, learned, samples))
    return drawings


def _features(model: Model, learned: Chain, shape: tuple[int, ...]) -> list[Picture]:
    spec, w, below = learned.top
    drawings = []
    for layer in range(1, len(learned.layers) + 1):
        product = codes.Encoder(spec, w, model._make, layer, below).product()
        name, title = ("features", "Features") if layer == 1 else (f"features{layer}", f"Features of layer {layer}")
        count = min(product.shape[1], pictures.TILES)
        note = f"What {count} of {product.shape[1]} hidden units answer most to: their weights, at equal length."
        if layer > 1:
            note = f"The weights into {count} of {product.shape[1]} units through the layers below, taken as linear."
        drawings.append(Picture(name, title, note, pictures.png(pictures.grid(pictures.features(product, shape)))))
    return drawings


def _reconstructions(model: Model, learned: Chain, samples: Samples, shape: tuple[int, ...]) -> Picture:
    """Draw samples from all over the data that was read, each with its reconstruction."""
    spec, w, below = learned.top
    encoder, decoder = codes.Encoder(spec, w, model._make, None, below), codes.Decoder(spec, w, None, below)
    if model.spec.finetune == "reconstruct" and model.spec.model == "mlp":
        encoder, decoder = model.encoder(), codes.Decoder(model.spec, model.w)
    rows = np.linspace(0, len(samples) - 1, min(SHOWN, len(samples))).astype(int)
    shown = Samples(samples.x[rows], None, samples.scale, samples.shift)
    coded = encoder(shown)
    reconstructed = unscaled(model, decoder(coded))
    x = unscaled(model, scaled(shown))
    low, high = float(x.min()), float(x.max())
    above, under = (pictures.values(each, shape, low, high) for each in (x, reconstructed))
    note = f"Samples of the training data, and below each what its {coded.shape[1]} codes give back."
    if model.spec.model == "mlp" and model.spec.finetune == "classify":
        note += " By the layers, before the whole was trained."
    return Picture("reconstructions", "Reconstructions", note, pictures.png(pictures.beside(above, under)))


def _drawn(model: Model, learned: Chain, shape: tuple[int, ...]) -> Picture:
    from hdl.models.generate import generate

    x = unscaled(model, generate(learned.layers, DRAWN, STEPS, model.spec.seed))
    note = f"What the model draws: {STEPS} Gibbs steps each from a start of its own."
    return Picture("samples", "Samples", note, pictures.png(pictures.grid(pictures.values(x, shape))))


def _activations(model: Model, learned: Chain, samples: Samples) -> Picture:
    spec, w, below = learned.top
    means = codes.Encoder(spec, w, model._make, None, below)(samples).mean(axis=0, dtype=np.float64)
    part = spec.autoencoder if spec.model == "autoencoder" else spec.rbm
    target = part.rho if part.beta else None
    note = f"Of the {len(means)} hidden units over {len(samples):,} samples of the training data"
    note += f": on average {means.mean():.4g}"
    note += f", {np.mean(np.abs(means - target) <= 0.1 * target):.0%} within a tenth of ρ." if target else "."
    return Picture("activations", "Average activations", note, pictures.histogram(means, target))


def _samples(model: Model) -> Samples | None:
    """Read the first samples of the training data; None where it is no longer there."""
    path, parts, count = model.about.get("data"), [], 0
    try:
        source = data.open_source(path, model.about.get("options"), model.schema, labels=False) if path else None
        for block in model._blocks(source, data.Bad(source.options.max_bad_records)) if source else ():
            x = block.x.dense() if hasattr(block.x, "dense") else block.x
            parts.append(x[: SAMPLES - count])
            count += len(parts[-1])
            if count >= SAMPLES:
                break
    except (HdlError, OSError):
        return None
    if not parts:
        return None
    return Samples(np.concatenate(parts), None, model.schema.scale, model.schema.shift)


def unscaled(model: Model, x: NDArray) -> NDArray[np.floating]:
    """Bring inputs as the net sees them [n, I] back to the data's own scale."""
    return model.schema.unscaled(x)
