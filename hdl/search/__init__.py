"""Searches over hyper-parameters: many trainings, each with a weight table of its own."""
