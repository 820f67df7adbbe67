"""The long-lived YARN application: containers near their blocks keep their shards and synchronise among themselves.

client      submits the application and follows it           (the user's machine)
hadoop      Hadoop's Java client classes through JPype
master      the driver's home inside of the application       (the first container)
crew        the workers: asked for, admitted, watched, replaced
worker      the training step's home                          (one container each)
allreduce   updates of all shards joined along the fixed tree, by the workers among themselves
secrets     keys of one application;  control: small messages over ZeroMQ;  bulk: weights over mutual TLS
page        the live page behind YARN's proxy
"""
