"""True Contribution: the gradient of a portfolio's return with respect to stakes."""

__all__: list[str] = []
