"""Proof that a data set is what its rows say: looked at, made anew, mended; what verify and replay draw on."""
