"""MLlib's perceptron on YARN, for `yarn.py`: prints when the first iteration ended, and seconds of 1 and 11 of them."""

import sys
import time

from pyspark.ml.classification import MultilayerPerceptronClassifier
from pyspark.sql import SparkSession

where, jars = sys.argv[1:]
session = (
    SparkSession.builder.master("yarn")
    .config("spark.yarn.jars", f"{jars}/*.jar")
    .config("spark.executor.instances", 2)
    .config("spark.executor.cores", 1)
    .config("spark.executor.memory", "1g")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.ui.enabled", "false")
    .getOrCreate()
)
session.sparkContext.setLogLevel("ERROR")
data = session.read.format("libsvm").option("numFeatures", 784).load(where).repartition(2).cache()


def fit(iterations):
    began = time.time()
    learner = MultilayerPerceptronClassifier(
        layers=[784, 100, 32, 10], solver="l-bfgs", maxIter=iterations, tol=0.0, blockSize=128, seed=1
    )
    learner.fit(data)
    return time.time() - began


one = fit(1)
ended = time.time()
one = min(one, fit(1))  # the first one also loads the data
print(ended, one, fit(11))
session.stop()
