"""Neural networks trained on the tournament's own metrics."""

__all__: list[str] = []
