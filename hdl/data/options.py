"""Options for reading a dataset."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationError

from hdl.data.names import split as split_names
from hdl.data.tabular.flags import expand
from hdl.errors import SpecError
from hdl.spec import Part, _sentence

LISTS = ("label", "columns", "features", "ignore", "na_values", "keep")  # options that may be written as `a,b`


class Options(Part):
    """Options for reading a dataset; plain values, so that they travel to workers and into the weight table.

    Parameters
    ----------
    format : str or None
        One of `csv`, `libsvm`, `pair`, `idx`, `npy`, `npz`, `parquet`, `orc`, `avro`, `json`, `images`; None: told from
        the files.
    label : tuple of str
        Label columns by name or index (negative from the end); several make a matrix of targets. Empty: the column
        called label or target, else the one called class or y, else the only column of text, else the last one.
    labelled : bool
        False: every column is a feature.
    judged : bool
        False: labels are only kept from being features, and neither read nor judged, for a model that needs none.
    header : bool or None
        Whether the first line of each CSV file holds names; None: told from the first lines.
    delimiter : str or None
        One character; None: told from the first lines.
    max_bad_records : int
        Records of the whole dataset that may be skipped.
    max_line : int
        Longest line in bytes; a longer one is a bad record and is never held in memory.
    columns : tuple of str
        Kinds of columns as `name:kind`: number, category, date or ignore.
    features, ignore : tuple of str
        Names, globs or kinds of the columns that alone are features, and of those that are none.
    na_values : tuple of str
        Texts that say that a value is missing, beside the usual ones.
    decimal : str or None
        Mark before the decimals of a number in text: `.` or `,`; None: told from the values.
    encoding : str
        Of text.
    comment : str or None
        What begins a line that is none of the samples.
    multiline : bool or None
        Whether quoted fields of CSV may span lines; None: told from the first lines.
    where : str or None
        Condition on columns that rows must meet.
    keep : tuple of str
        Columns that predictions carry over.
    weights, offset : str or None
        Columns of the samples' weights, and of what is added to the net's output before its output function.
    held : tuple of str
        Which rows are held out of training, as a driver says it of a spec: see `hdl.data.holdout.reading`.
    found : str or None
        What a driver found of a table's files, as JSON: for workers, who see a part of them, see `Source.settled`.
    """

    format: str | None = Field(None, pattern="^(csv|libsvm|pair|idx|npy|npz|parquet|orc|avro|json|images)$")
    label: tuple[str, ...] = ()
    labelled: bool = True
    judged: bool = True
    header: bool | None = None
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    max_bad_records: int = Field(0, ge=0)
    max_line: int = Field(16 << 20, ge=4)
    columns: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    na_values: tuple[str, ...] = ()
    decimal: str | None = Field(None, pattern="^[.,]$")
    encoding: str = "utf-8"
    comment: str | None = Field(None, min_length=1)
    multiline: bool | None = None
    where: str | None = None
    keep: tuple[str, ...] = ()
    weights: str | None = None
    offset: str | None = None
    held: tuple[str, ...] = ()
    found: str | None = None

    @classmethod
    def make(cls, value: Options | dict[str, Any] | None = None, **changes: Any) -> Options:
        """Options from a dictionary, with SpecError naming each wrong field; lists may be written as `a,b`."""
        fields = {**(value.model_dump() if isinstance(value, Options) else value or {}), **changes}
        for field_name in LISTS:
            given = fields.get(field_name)
            if isinstance(given, (str, int)):
                given = split_names(str(given))
            fields[field_name] = tuple(str(name) for name in given or ())
        fields["columns"] = expand(fields["columns"])
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise SpecError("; ".join(_sentence(item) for item in error.errors())) from None
