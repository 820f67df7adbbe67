"""Flags of `hdl train` that are fields of the spec, and the way from both to a validated `Spec`."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

from hdl.cli.common import Option
from hdl.errors import SpecError
from hdl.models import stack
from hdl.spec import Spec, parse


@dataclass(frozen=True)
class Flag:
    """A flag that sets one field of the spec; `field` is the path in its JSON."""

    name: str
    field: str
    metavar: str
    help: str
    section: str

    @property
    def key(self) -> str:
        """Name under which click hands the value over; apart from all other options' names."""
        return "spec_" + self.name[2:].replace("-", "_")


def _section(section: str, *flags: tuple[str, str, str, str]) -> list[Flag]:
    return [Flag(name, field, metavar, about, section) for name, field, metavar, about in flags]


FLAGS = [
    *_section(
        "Network",
        ("--model", "model", "", "Kind of network."),
        ("--net", "net", "I-H-…-O", "Widths from inputs to outputs; 0 at an end is read from the data."),
        ("--activation", "activation", "", "Activation of hidden layers."),
        ("--leak", "leak", "X", "Slope of leaky_relu below 0."),
        ("--loss", "loss", "", "Output and its loss; default: told by the labels."),
        ("--init", "init", "NAME", "glorot, he, lecun or uniform[LOW,HIGH]; default: what suits the activation."),
        ("--l1", "l1", "LAMBDA", "Adds LAMBDA·|W| to the mean loss; biases exempt."),
        ("--l2", "l2", "LAMBDA", "Adds LAMBDA/2·|W|² to the mean loss; biases exempt."),
        ("--max-norm", "max_norm", "X", "Longest vector of weights into a unit; 0 for no limit."),
        ("--dropout", "dropout", "P", "Share of hidden units dropped in a step."),
        ("--input-dropout", "input_dropout", "P", "Share of inputs dropped in a step."),
    ),
    *_section(
        "Training",
        ("--epochs", "epochs", "N", "Passes over the data."),
        ("--batch", "batch", "N", "Samples in a mini-batch; 0: all; default: 32, large data 100, searches 0."),
        ("--optimizer", "optimizer.name", "", "Update rule; gd, cg and lbfgs search along a line."),
        ("--lr", "optimizer.lr", "X", "Learning rate; default: the rule's own."),
        ("--schedule", "optimizer.schedule.name", "", "Learning rate over epochs."),
        ("--lr-decay", "optimizer.schedule.decay", "X", "Decay of the schedules inverse, exponential and step."),
        ("--lr-every", "optimizer.schedule.every", "EPOCHS", "Distance of the schedule step's steps."),
        ("--warmup", "optimizer.schedule.warmup", "EPOCHS", "Rise of the learning rate at the start."),
        ("--momentum", "optimizer.momentum", "X", "Momentum of momentum and nesterov."),
        ("--beta1", "optimizer.beta1", "X", "Decay of adam's first moment."),
        ("--beta2", "optimizer.beta2", "X", "Decay of adam's second moment."),
        ("--rho", "optimizer.rho", "X", "Decay of adadelta and rmsprop."),
        ("--epsilon", "optimizer.epsilon", "X", "Keeps adaptive rules from dividing by 0."),
        ("--history", "optimizer.history", "N", "Pairs that lbfgs keeps."),
        ("--max-evaluations", "optimizer.max_evaluations", "N", "Evaluations that a line search may take."),
        ("--iterations", "optimizer.iterations", "N", "Line-search iterations in a row on one mini-batch."),
        ("--validation", "validation", "SHARE", "Share of the samples held out to measure, chosen by the seed."),
        ("--patience", "patience", "ROUNDS", "Stop after so many rounds without a better validation; 0 for never."),
        ("--seed", "seed", "N", "Seed of all that is random."),
        ("--precision", "precision", "", "What a GPU rounds the factors of products to."),
    ),
    *_section(
        "Rounds",
        ("--sync", "sync.mode", "", "What a round merges: gradients, weights, or a population."),
        ("--sync-every", "sync.every", "N[batches]", "Epochs (5, 5epochs) or mini-batches (20batches) between merges."),
        ("--sync-equal", "sync.equal", "N", "Async: rounds of the fastest worker between two merges of all."),
        ("--staleness", "sync.staleness", "N", "Async: rounds that weights may be behind to be merged."),
        ("--shards", "shards", "N", "Parts of the data, one network or sum each; default: the workers."),
        ("--truncation", "sync.genetic.keep", "SHARE", "Share of the population that may be parents."),
        ("--elite", "sync.genetic.elite", "N", "Best networks passed on unchanged."),
        ("--crossover", "sync.genetic.crossover", "", "How two parents' weights mix."),
        ("--mutation-rate", "sync.genetic.mutation_rate", "P", "Share of weights that mutate."),
        ("--mutation-scale", "sync.genetic.mutation_scale", "X", "Size of mutations, in the layer's own deviations."),
        ("--fitness-samples", "sync.genetic.fitness_samples", "N", "Common samples on which fitness is measured."),
        ("--keep", "keep", "N", "Versions kept besides the first, the best and the last."),
    ),
    *_section(
        "Autoencoders (also stacked)",
        ("--decoder", "autoencoder.decoder", "", "Units of the reconstruction."),
        ("--tied", "autoencoder.tied", "", "The decoder's weights are the encoder's."),
        ("--sparsity", "autoencoder.rho", "RHO", "Target of each code's average activation over all data."),
        ("--sparsity-weight", "autoencoder.beta", "BETA", "Weight of the sparsity term; 0 for none."),
        ("--sparsity-memory", "autoencoder.memory", "X", "Share that a running average activation keeps at a step."),
        ("--corruption", "autoencoder.corruption", "P", "Share of inputs set to 0 before they are encoded."),
        ("--contractive", "autoencoder.contractive", "LAMBDA", "Weight of the codes' squared Jacobian."),
    ),
    *_section(
        "RBMs (also dbn)",
        ("--visible", "rbm.visible", "", "Units of the data."),
        ("--cd", "rbm.k", "K", "Gibbs steps of contrastive divergence."),
        ("--persistent", "rbm.persistent", "", "Chains go on from step to step."),
        ("--chains", "rbm.chains", "N", "Persistent chains a shard."),
        ("--rbm-sparsity", "rbm.rho", "RHO", "Target of each hidden unit's average activation."),
        ("--rbm-sparsity-rate", "rbm.beta", "BETA", "Rate at which biases move towards it; 0 for none."),
    ),
    *_section(
        "Stacks (stacked, dbn)",
        ("--pretrain-epochs", "pretrain.epochs", "N", "Passes over the data for each layer."),
        ("--pretrain-optimizer", "pretrain.optimizer", "", "Update rule of the layers; adam, for RBMs momentum."),
        ("--pretrain-lr", "pretrain.lr", "X", "Learning rate of the layers; default: the rule's own, for RBMs 0.05."),
        ("--pretrain-batch", "pretrain.batch", "N", "Samples in a mini-batch of the layers; default: as --batch."),
        ("--pretrain-l2", "pretrain.l2", "LAMBDA", "Weight decay of the layers."),
        ("--finetune", "finetune", "", "What follows: a softmax on top, the layers unrolled, or nothing."),
    ),
    *_section(
        "Data",
        ("--scale", "scale", "RULE", "auto, none, minmax, standard, divide or divide:X; stored with the model."),
        ("--shuffle-window", "shuffle_window", "N", "Samples shuffled together."),
    ),
]
PARTS = ("optimizer", "schedule", "sync", "genetic", "autoencoder", "rbm", "pretrain")
UNITS = {"epochs": "epochs", "epoch": "epochs", "batches": "batches", "batch": "batches"}
_BY_KEY = {flag.key: flag for flag in FLAGS}


def spec_options(command: click.Command) -> click.Command:
    """Add the flags of the spec, `--spec` among them, to a command."""
    for flag in FLAGS:
        default = default_of(flag)
        shown = "" if default is None or flag.name == "--shards" else f"  [default: {default}]"
        if isinstance(default, bool):
            given: dict[str, Any] = {"is_flag": True, "default": None, "help": flag.help}
        else:
            given = {"metavar": flag.metavar or _choices(flag.field), "help": flag.help + shown}
        command.params.append(Option([flag.key, flag.name], section=flag.section, **given))
    command.params.append(
        Option(["--spec"], metavar="FILE", section="Run", help="Spec as a JSON file; flags come before it.")
    )
    return command


def default_of(flag: Flag) -> Any:
    """Return the value that a flag's field has where the flag is not given."""
    default: Any = Spec().model_dump()
    for part in flag.field.split("."):
        default = default[part] if isinstance(default, dict) else default
    return default["name"] if flag.field == "scale" else default


def _choices(field: str) -> str:
    """List the words that a field takes, from the spec's own annotations."""
    annotation: Any = Spec
    for part in field.split("."):
        annotation = annotation.model_fields[part].annotation
    literals = [annotation] if get_origin(annotation) is Literal else get_args(annotation)
    return "|".join(word for item in literals if get_origin(item) is Literal for word in get_args(item))


def take_spec(values: dict[str, Any], base: Spec | None = None, shards: int = 1) -> Spec:
    """Remove the spec's flags from `values` and return the `Spec` that they, the file and `base` make.

    Parameters
    ----------
    values : dict
        click's values; the spec's are removed.
    base : Spec, optional
        What neither flags nor file say; the defaults if not given.
    shards : int
        Shards where nobody says otherwise.

    Raises
    ------
    SpecError
        Naming the flag, or the file and its field.
    """
    path = values.pop("spec")
    given = {flag: values.pop(key) for key, flag in _BY_KEY.items()}
    given = {flag: _value(flag, text) for flag, text in given.items() if text is not None}
    tree: dict[str, Any] = base.model_dump(mode="json") if base is not None else {"shards": shards}
    _overlay(tree, _read(path) if path else {})
    for flag, value in given.items():
        _set(tree, flag, value)
    try:
        spec = parse(tree)
        stack.check(spec)
        return spec
    except SpecError as error:
        raise SpecError(_in_terms_of_flags(str(error), given, path)) from None


def _value(flag: Flag, text: Any) -> Any:
    """Turn a flag's text into a number, where it is one; the spec judges it."""
    if flag.field == "sync.every":
        for word, unit in UNITS.items():
            if text.endswith(word):
                return {"every": number_of(text.removesuffix(word).rstrip()), "unit": unit}
        return {"every": number_of(text)}
    return text if isinstance(text, bool) or flag.field in ("net", "init", "scale") else number_of(text)


def number_of(text: str) -> int | float | str:
    """Turn a text into a number, where it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _read(path: str) -> dict[str, Any]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"--spec {path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    try:
        tree = json.loads(text)
    except json.JSONDecodeError as error:
        raise SpecError(f"--spec {path}:{error.lineno}: not JSON: {error.msg}") from None
    if not isinstance(tree, dict):
        raise SpecError(f"--spec {path}: expected a JSON object of the spec's fields, given {type(tree).__name__}")
    return tree


def _overlay(tree: dict[str, Any], over: dict[str, Any]) -> None:
    """Put `over` onto `tree`, part by part; a part given by its name is `{"name": …}`."""
    for key, value in over.items():
        if isinstance(value, dict) and key in PARTS:
            _overlay(_part(tree, key), value)
        else:
            tree[key] = value


def _part(tree: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the dictionary of a part, made where it is missing or given by its name alone."""
    part = tree.get(key)
    tree[key] = part if isinstance(part, dict) else {} if part is None else {"name": part}
    return tree[key]


def _set(tree: dict[str, Any], flag: Flag, value: Any) -> None:
    *parts, last = flag.field.split(".")
    for part in parts:
        tree = _part(tree, part)
    if isinstance(value, dict):
        tree.update(value)
    else:
        tree[last] = value


def _in_terms_of_flags(message: str, given: dict[Flag, Any], path: str | None) -> str:
    """Put a flag's name into the spec's message, in place of each field that a flag gave."""
    fields = {flag.field: flag.name for flag in given}
    message = re.sub(r"([\w.]+): Extra inputs are not permitted( \(given .*?\))?(?=; |$)", _unknown, message)
    if "sync.every" in fields:
        fields["sync.unit"] = fields["sync.every"]

    def name(match: re.Match) -> str:
        field = match[2]
        while field:  # net.1 is --net's
            if field in fields:
                return f"{match[1]}{fields[field]}: "
            field = field.rpartition(".")[0]
        return match[0] if not path else f"{match[1]}--spec {path}: {match[2]}: "

    return re.sub(r"(^|; )([\w.]+): ", name, message)


def _unknown(match: re.Match) -> str:
    """Write the message for a field that the spec does not have."""
    known = {flag.field for flag in FLAGS} | {flag.field.partition(".")[0] for flag in FLAGS} | {"sync.unit", "layer"}
    near = difflib.get_close_matches(match[1], sorted(known), 1)
    return f"{match[1]}: the spec has no such field" + (f", did you mean {near[0]!r}?" if near else "")
