"""Reads tables as they lie in folders: Hive's partitions, logs of Delta and Iceberg, the filter on their columns."""
