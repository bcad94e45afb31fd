"""The device that a network computes on."""

from __future__ import annotations

from sknumerai._optional import import_optional


def resolve_device(device: str) -> str:
    """Name of the device for torch, "auto" resolved.

    Parameters
    ----------
    device : str
        "cpu", "cuda" or another name that torch knows, or "auto" for "cuda" if there is a GPU
        that torch can use and "cpu" otherwise.

    Raises
    ------
    ImportError
        If torch is not installed.
    ValueError
        If torch knows no such device, or the device is a GPU and torch finds none.
    """
    torch = import_optional("torch", extra="torch")
    has_gpu = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if has_gpu else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(
            f"device={device!r} is not a device that torch knows; pass 'cpu', 'cuda' or 'auto'."
        ) from error
    if kind == "cuda" and not has_gpu:
        raise ValueError(
            f"device={device!r} needs a GPU that torch can use and none was found; pass 'cpu', or "
            "'auto' to use a GPU only where there is one."
        )
    return device
