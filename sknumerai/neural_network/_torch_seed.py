"""Seeded torch without side effects."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sklearn.utils import check_random_state

from sknumerai._optional import import_optional


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
    on_cuda = torch.device(device).type == "cuda"
    # Only the generators that are seeded are saved: asking for others would start up CUDA.
    with torch.random.fork_rng(devices=[device] if on_cuda else []):
        torch.random.default_generator.manual_seed(seed)
        if on_cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
