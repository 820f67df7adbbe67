"""scikit-learn estimators, trained in this process by hdl's own training step.

A fit is a run of one shard: each epoch is a round of `train_shard` and `merge`, as on a cluster.
"""

from hdl.estimators.autoencoder import SparseAutoencoder
from hdl.estimators.classifier import MLPClassifier
from hdl.estimators.rbm import BernoulliRBM, GaussianRBM
from hdl.estimators.regressor import MLPRegressor
from hdl.estimators.stacks import DBN, StackedAutoencoder

__all__ = ["DBN", "BernoulliRBM", "GaussianRBM", "MLPClassifier", "MLPRegressor", "SparseAutoencoder",
           "StackedAutoencoder"]  # fmt: skip
