"""Pixels: decode, geometry, photometry, encode. Bytes and arrays in, arrays and bytes out; no files."""
