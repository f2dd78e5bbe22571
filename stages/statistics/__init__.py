"""Splits, scores, intervals and probes: numpy in, numbers out; no files."""
