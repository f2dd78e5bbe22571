"""Plots and HTML pages made of figures that the stages hand over."""
