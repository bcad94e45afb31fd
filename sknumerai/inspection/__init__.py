"""Plots of era-wise scores and feature exposures."""

__all__: list[str] = []
