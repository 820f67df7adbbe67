"""Reads tables as they lie in folders: Hive's partitions, Delta's and Iceberg's logs, and the filter on their columns."""
