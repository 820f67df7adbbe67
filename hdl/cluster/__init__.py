"""A Hadoop to develop and test on: the jars from Maven Central, the daemons on this machine's loopback.

`assemble` makes a HADOOP_HOME, `config` the configuration folder, `daemons` starts and stops the processes,
`pydoop` builds the patched pydoop. A Hadoop that is installed already needs none of this.
"""
