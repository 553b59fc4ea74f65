"""Runs: from a corpus to a folder of results."""
