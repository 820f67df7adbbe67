"""Living networks of PyTorch, Keras and scikit-learn, with the weights of a model of hdl; and scikit-learn's read.

Scaling and a target's unit are folded into the first and the last layer, in float64: what is made takes raw features
and answers in the unit of the data, as the model does, within float32.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import SpecError, Unavailable
from hdl.foreign.network import Network
from hdl.ops import losses
from hdl.ops.layout import Layout

if TYPE_CHECKING:
    from hdl.predict import Model

_SQUASH, _STRETCH = 2 / 3, 1.7159  # lecun_tanh is 1.7159 tanh(2/3 z), LeCun et al. 1998


def plain(model: Model) -> Network:
    """Give a model as a chain of dense layers from raw features to answers in the data's unit.

    Raises
    ------
    SpecError
        It is no single perceptron on numbers, or its answers are no plain function of the last layer.
    """
    spec, schema, path = model.spec, model.schema, model.path
    why = None
    if spec.model != "mlp" or spec.finetune == "none":
        why = f"it is of model {spec.model}"
    elif spec.members > 1:
        why = f"it is an ensemble of {spec.members} nets"
    elif schema.encodings is not None or spec.embeddings:
        why = "it takes a table's raw columns"
    elif spec.cost in losses.LOG_LINK:
        why = f"its loss {spec.cost} has a logarithmic link"
    if why:
        raise SpecError(f"{path}: {why}, and no chain of dense layers; `hdl export` writes it as ONNX")
    layers = [(w.astype(np.float64), b.astype(np.float64)) for w, b in Layout(spec.widths).split(model.w)]
    scale, shift = np.ones(spec.widths[0]), np.zeros(spec.widths[0])
    for factor, term in (_centred(schema), (schema.scale, schema.shift)):
        by = np.ones(1) if factor is None else np.asarray(factor, np.float64)
        scale, shift = scale * by, shift * by + (0.0 if term is None else np.asarray(term, np.float64))
    w, b = layers[0]
    layers[0] = scale[:, None] * w, b + shift @ w
    activation = spec.activation
    if activation == "lecun_tanh":
        activation, last = "tanh", len(layers) - 1
        layers = [
            (w * (_STRETCH if n else 1) * (_SQUASH if n < last else 1), b * (_SQUASH if n < last else 1))
            for n, (w, b) in enumerate(layers)
        ]
    if spec.cost in losses.REGRESSION and schema.target_deviation is not None:
        w, b = layers[-1]
        layers[-1] = w * schema.target_deviation, b * schema.target_deviation + schema.target_mean
    output = {"softmax": "softmax", "sigmoid": "sigmoid"}.get(spec.cost, "linear")
    weights, biases = ([part.astype(np.float32) for part in parts] for parts in zip(*layers, strict=True))
    return Network(
        weights, biases, activation if len(layers) > 1 else None, float(spec.leak), output, schema.classes or None,
        path=path,
    )  # fmt: skip


def _centred(schema: Any) -> tuple[NDArray | None, NDArray | None]:
    if schema.center is None:
        return None, None
    return 1 / schema.spread, -schema.center / schema.spread


def to_torch(model: Model, logits: bool = False) -> Any:
    """Make a `torch.nn.Sequential` of a model: see `hdl.predict.Model.to_torch`."""
    torch, net = _library("torch", "torch"), plain(model)
    nn, parts = torch.nn, []
    for number, (w, b) in enumerate(zip(net.weights, net.biases, strict=True), 1):
        layer = nn.Linear(*w.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(w.T)))
            layer.bias.copy_(torch.from_numpy(b))
        parts.append(layer)
        if number < len(net.weights) and net.activation != "linear":
            leaky = nn.LeakyReLU(net.leak)
            parts.append({"relu": nn.ReLU(), "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid(), "leaky_relu": leaky}[
                str(net.activation)
            ])  # fmt: skip
    if not logits and net.output != "linear":
        parts.append(nn.Softmax(dim=1) if net.output == "softmax" else nn.Sigmoid())
    return nn.Sequential(*parts).eval()


def to_keras(model: Model) -> Any:
    """Make a `keras.Sequential` of a model: see `hdl.predict.Model.to_keras`."""
    keras, net = _library("keras", "keras"), plain(model)
    made = keras.Sequential([keras.Input((net.widths[0],))])
    for number, (w, b) in enumerate(zip(net.weights, net.biases, strict=True), 1):
        last = number == len(net.weights)
        activation = net.output if last else net.activation
        leaky = activation == "leaky_relu"
        layer = keras.layers.Dense(w.shape[1], activation=None if leaky else activation)
        made.add(layer)
        layer.set_weights([w, b])
        if leaky:
            made.add(keras.layers.LeakyReLU(negative_slope=net.leak))
    return made


def to_sklearn(model: Model) -> Any:
    """Make a fitted scikit-learn MLP of a model: see `hdl.predict.Model.to_sklearn`."""
    _library("sklearn", "scikit-learn")
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.preprocessing import LabelBinarizer

    net = plain(model)
    names = {"linear": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu", None: "relu"}
    if net.activation not in names:
        raise SpecError(f"{model.path}: scikit-learn's networks have no activation {net.activation}")
    kind = MLPRegressor if net.output == "linear" else MLPClassifier
    made = kind(hidden_layer_sizes=net.widths[1:-1], activation=names[net.activation])
    weights, biases = list(net.weights), list(net.biases)
    if kind is MLPClassifier:
        if model.schema.targets or not net.classes:
            raise SpecError(f"{model.path}: has several labels a sample; `hdl export` writes it as ONNX")
        if len(net.classes) == 2 and net.output == "softmax":  # scikit-learn has one output: the difference's logistic
            weights[-1], biases[-1] = (part[..., 1:] - part[..., :1] for part in (weights[-1], biases[-1]))
        made.classes_ = np.asarray(net.classes)
        made._label_binarizer = LabelBinarizer().fit(made.classes_)
        made.out_activation_ = "logistic" if weights[-1].shape[1] == 1 else "softmax"
    else:
        made.out_activation_ = "identity"
    made.coefs_, made.intercepts_ = weights, biases
    made.n_features_in_, made.n_outputs_, made.n_layers_ = net.widths[0], weights[-1].shape[1], len(net.widths)
    made.n_iter_ = made.t_ = model.version.number
    return made


def of_sklearn(estimator: Any) -> Network:
    """Read a fitted scikit-learn MLPClassifier or MLPRegressor.

    Raises
    ------
    SpecError
        It is something else, or not fitted.
    """
    named = type(estimator).__name__
    weights, biases = getattr(estimator, "coefs_", None), getattr(estimator, "intercepts_", None)
    if not isinstance(weights, list) or not isinstance(biases, list):
        raise SpecError(f"a {named}; expected a fitted MLPClassifier or MLPRegressor of scikit-learn")
    names = {"identity": "linear", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu", "softmax": "softmax"}
    classes = getattr(estimator, "classes_", None)
    if isinstance(classes, list) or (classes is not None and names[estimator.out_activation_] == "linear"):
        raise SpecError(f"a {named} of several targets with classes")
    several = classes is not None and estimator.out_activation_ == "logistic" and weights[-1].shape[1] > 1
    return Network(
        [np.ascontiguousarray(part, np.float32) for part in weights],
        [np.ascontiguousarray(part, np.float32) for part in biases],
        names[estimator.activation] if len(weights) > 1 else None,
        output=names[estimator.out_activation_],
        classes=None if classes is None or several else tuple(classes.tolist()),
    )


def _library(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise Unavailable(f"{package} is not installed: pip install {package}") from None
