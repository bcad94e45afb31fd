"""Random numbers of torch without side effects: from a seed, or continued from a saved state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from sklearn.utils import check_random_state

from sknumerai._optional import import_optional

if TYPE_CHECKING:
    import torch


@contextmanager
def torch_seed(random_state: Any, device: str = "cpu") -> Iterator[None]:
    """Seed torch's random numbers inside, and leave them as they were outside.

    Parameters
    ----------
    random_state : int, RandomState instance or None
        One seed is drawn from it.
    device : str, default="cpu"
        The device that computes. The CPU's generator is seeded as well, since it draws the
        initial weights.
    """
    torch = import_optional("torch", extra="torch")
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    with _keep_outer_state(device):
        torch.random.default_generator.manual_seed(seed)
        if _on_cuda(device):
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def continued_torch_state(states: Sequence[torch.Tensor], device: str) -> Iterator[None]:
    """Continue earlier random numbers inside, and leave torch's as they were outside.

    Parameters
    ----------
    states : sequence of tensor
        What `get_torch_state` returned. The state of a GPU is used only if ``device`` is a GPU.
    device : str
        The device that computes.
    """
    torch = import_optional("torch", extra="torch")
    with _keep_outer_state(device):
        for state in states[:1]:
            torch.random.set_rng_state(state)
        if _on_cuda(device):
            for state in states[1:]:
                torch.cuda.set_rng_state(state, device)
        yield


def get_torch_state(device: str) -> tuple[torch.Tensor, ...]:
    """State of the generators that computations on a device draw from, the CPU's first."""
    torch = import_optional("torch", extra="torch")
    of_cpu = torch.random.get_rng_state()
    return (of_cpu, torch.cuda.get_rng_state(device)) if _on_cuda(device) else (of_cpu,)


def _keep_outer_state(device: str) -> AbstractContextManager[None]:
    torch = import_optional("torch", extra="torch")
    # Only the generators in use are saved: asking for others would start up CUDA.
    forked: AbstractContextManager[None] = torch.random.fork_rng(
        devices=[device] if _on_cuda(device) else []
    )
    return forked


def _on_cuda(device: str) -> bool:
    return bool(import_optional("torch", extra="torch").device(device).type == "cuda")
