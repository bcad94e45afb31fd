"""Splitters over eras that respect overlapping targets."""

__all__: list[str] = []
