"""Containers: asked of YARN, or processes in tests."""
