"""`hdl export`: a network as an ONNX file."""

from __future__ import annotations

from typing import Any

import click

from hdl import outputs
from hdl.cli.common import Command, at_option, count, hadoop_options, open_model, percent, tell_reading, with_spill
from hdl.cli.data_flags import OFFSET, data_options, take_data_options
from hdl.errors import SpecError


@hadoop_options
@data_options(OFFSET)
@with_spill
@click.command(cls=Command)
@click.argument("table", metavar="TABLE")
@click.argument("out", metavar="OUT.onnx")
@click.option("--opset", type=click.IntRange(min=1), metavar="N", help="Version of ONNX's operators.  [default: 17]")
@click.option("--rename", multiple=True, metavar="OLD=NEW",
              help="Another name for an input or an output; again for another one.")  # fmt: skip
@click.option("--zipmap/--no-zipmap", default=False,
              help="Probabilities as maps from classes, as skl2onnx's option; default: a matrix.")  # fmt: skip
@click.option("--layer", type=click.IntRange(min=1), metavar="K",
              help="The codes of this layer in place of answers, as hdl encode counts them.")  # fmt: skip
@click.option("--int8", is_flag=True, help="Weights of layers as 8-bit whole numbers; says what that costs.")
@click.option("--calibrate", metavar="DATA", help="Of --int8: data by which it is made and measured.")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
@at_option
def export_(
    table: str, out: str, opset: int | None, rename: tuple[str, ...], zipmap: bool, layer: int | None, int8: bool,
    calibrate: str | None, overwrite: bool, which: str, **values: Any
) -> None:  # fmt: skip
    """Write TABLE's network as an ONNX file, scaling and classes included.

    Input `input`, float32 [N, I], raw features. Of a table one input [N, 1] a column instead, named as
    the column: numbers (float64, NaN where missing), categories (string, empty where missing), dates
    (int64, microseconds since 1970). Outputs `label` [N] and `probabilities` [N, C]; for regression
    `value` [N, O] in the targets' unit; of an autoencoder, an RBM or a stack of them `codes` [N, H], as
    hdl encode writes them, and `reconstruction` [N, I] of the scaled features. N is any number of rows.

    With --int8 layers multiply 8-bit whole numbers, in static and in dynamic quantisation; the better one
    on --calibrate DATA is written, and both are told. The flags of data and columns are DATA's.
    """
    from hdl import export

    outputs.check(out, overwrite, (".onnx",), name="")
    if int8 != (calibrate is not None):
        one, other = ("--int8", "--calibrate DATA") if int8 else ("--calibrate", "--int8")
        raise SpecError(f"{one} needs {other} beside it")
    given = [name for name, value in values.items() if value is not None]
    if given and not int8:
        flag = "--no-labels" if given[0] == "labelled" else "--" + given[0].replace("_", "-")
        raise SpecError(f"{flag}: says how the data of --calibrate is read, and none is given")
    model = open_model(table, which)
    try:
        graph = export.of_model(
            model, opset=opset or export.OPSET, zipmap=zipmap, layer=layer, names=dict(map(_pair, rename))
        )
    except SpecError as error:
        flag = str(error).split(":")[0].split()[0]
        raise SpecError(f"--{error}") if flag in ("opset", "rename", "zipmap", "layer") else error from None
    content = export.serialise(graph)
    if calibrate is not None:
        made = _int8(model, graph, calibrate, layer, values)
        content = made.content
    outputs.put(out, content)
    click.echo(out)


def _pair(given: str) -> tuple[str, str]:
    old, equals, new = given.partition("=")
    if not (old and equals and new):
        raise SpecError(f"--rename: expected OLD=NEW (given {given!r})")
    return old, new


def _int8(model: Any, graph: Any, data: str, layer: int | None, values: dict[str, Any]) -> Any:
    """Quantise a graph, and tell what it costs."""
    from hdl import export
    from hdl.data import open_source

    options, coding = take_data_options(values, model.reading), layer is not None or export.makes_codes(model.spec)
    source = open_source(data, options, model.schema, labels=not coding)
    tell_reading(source, model)
    made = export.int8_of(model, graph, source, coding)
    told = ", ".join(f"{how} {_figure(value, made.measure)}" for how, value in made.values.items())
    before, after = made.sizes
    click.echo(
        f"{made.measure} on {count(made.rows, 'sample')} of {data}: float32 {_figure(made.float32, made.measure)}, "
        f"int8 {told}; written: {made.how}, {after:,} bytes in place of {before:,}",
        err=True,
    )
    return made


def _figure(value: float, measure: str) -> str:
    return percent(value) if measure == "accuracy" else f"{value:.5f}"
