"""The live page of an application."""
