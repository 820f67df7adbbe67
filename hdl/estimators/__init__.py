"""scikit-learn estimators, trained in this process by hdl's own training step.

A fit is a run of one shard: each epoch is a round of `train_shard` and `merge`, as on a cluster.
"""

from hdl.estimators.classifier import MLPClassifier
from hdl.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
