"""Layouts of models: where parameters lie in one flat vector, and how sums over all samples become its gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdl.ops.layout.dense import EmbeddingLayout, Layout
from hdl.ops.layout.ensemble import EnsembleLayout
from hdl.ops.layout.one_layer import AutoencoderLayout, RbmLayout

if TYPE_CHECKING:
    from hdl.spec import Spec

__all__ = ["AutoencoderLayout", "EmbeddingLayout", "EnsembleLayout", "Layout", "RbmLayout", "of"]


def of(spec: Spec) -> Layout:
    """Make the layout of a spec whose net is known."""
    if spec.members > 1:
        return EnsembleLayout(spec.widths, of(spec.model_copy(update={"members": 1})), spec.members)
    if spec.model == "autoencoder":
        part = spec.autoencoder
        return AutoencoderLayout(spec.widths, part.tied, part.rho, part.beta)
    if spec.model == "rbm":
        return RbmLayout(spec.widths, spec.rbm.rho, spec.rbm.beta)
    if spec.embeddings:
        return EmbeddingLayout(spec.widths, spec.numbers, spec.embeddings)
    return Layout(spec.widths)
