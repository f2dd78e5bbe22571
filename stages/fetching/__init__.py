"""Brings a public set of films over the network, and unpacks it; the only room that opens a connection."""
