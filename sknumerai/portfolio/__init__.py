"""Portfolio optimization with exact gradients."""

__all__: list[str] = []
