"""The long-lived YARN application: containers near their blocks keep their shards and synchronise among themselves.

protocol          every message of the control channel, and the states of a member of the worker group
settings          an application's settings, and the job as it travels to the master
comm              control messages over ZeroMQ, weights over mutual TLS, credentials, the exchange among workers
resource_manager  containers: of Hadoop's YARN through its Java client classes, or in tests of this machine
master            the driver's home in the first container; leads the worker group
worker            the training step's home, one container each
client            submits the application and follows it, on the user's machine
dashboard         the live page behind YARN's proxy
"""
