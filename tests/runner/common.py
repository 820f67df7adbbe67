"""What two runs are compared by."""

from hdl.table import Table


def signatures(outcome):
    """SHA-256 of the weights of the versions that are there, and the metrics that must repeat."""
    table = Table(outcome.table)
    rows = [{k: v for k, v in row.items() if k not in ("seconds", "time")} for row in outcome.rows]
    return {number: table.header(number)["signature"] for number in table.numbers()}, rows


def state_bytes(outcome):
    """All that the last version carries on, to the byte."""
    weights = Table(outcome.table).read().weights
    return {name: tensor.tobytes() for name, tensor in {"w": weights.w, **weights.state}.items()}
