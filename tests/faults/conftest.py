"""What every fault test needs."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _patient_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks wait long for one another: on a busy machine none is given up wrongly."""
    monkeypatch.setenv("INR_TOMO_TIMEOUT", "600")


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """Put back the signal handlers of a worker that ran in the test's own process."""
    names = [name for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]
    before = {name: signal.getsignal(getattr(signal, name)) for name in names}
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)
