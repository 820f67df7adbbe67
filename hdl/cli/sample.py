"""`hdl sample`."""

from __future__ import annotations

import io
from pathlib import Path

import click
import numpy as np

from hdl.cli.common import Command, at_option, count, hadoop_options, open_model
from hdl.errors import SpecError

SUFFIXES = (".png", ".npy")


@hadoop_options
@click.command(cls=Command)
@click.argument("table", metavar="TABLE")
@click.option("--out", required=True, metavar="FILE", help="Where to write: .png is one picture, .npy the numbers.")
@click.option(
    "--count", "number", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="Samples."
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    metavar="S",
    help="Gibbs steps that lead to each, from a start of its own.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, metavar="K", help="Decides the samples."
)
@click.option("--overwrite", is_flag=True, help="Replace a FILE that is there.")
@at_option
def sample_(table: str, out: str, number: int, steps: int, seed: int, overwrite: bool, which: str) -> None:
    """Draw samples of what TABLE's model has learned: of an RBM, or of a deep belief network.

    A deep belief network makes the Gibbs steps in its topmost RBM, TABLE/layerK, and passes their result
    down through those below. Values are means of the visible units, in the data's own scale: [N, I] as
    float32 in .npy; .png shows them as a grid, where the inputs are images.
    """
    from hdl import outputs
    from hdl.models.generate import generate
    from hdl.report import feature_pictures, gather, pictures

    outputs.check(out, overwrite, SUFFIXES)
    model = open_model(table, which)
    learned = feature_pictures.chain(model)
    if learned is None:
        raise SpecError(
            f"{table}: a network that learned from labels has nothing to draw from; expected an RBM or a DBN"
        )
    shape = gather.image_of(model.schema.to_parts()[0])
    suffix = Path(out).suffix.lower()
    if suffix == ".png" and shape is None:
        raise SpecError(f"--out {out}: the inputs are {model.schema.inputs} numbers and no image; expected .npy")
    x = feature_pictures.unscaled(model, generate(learned.layers, number, steps, seed))
    with outputs.placing(out) as file:
        if suffix == ".png" and shape is not None:
            file.write(pictures.png(pictures.grid(pictures.values(x, shape))))
        else:
            content = io.BytesIO()  # of a file on disk, NumPy would not say why it cannot be written
            np.save(content, np.asarray(x, np.float32))
            file.write(content.getbuffer())
    click.echo(f"{count(number, 'sample')} in {out}", err=True)
