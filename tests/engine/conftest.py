"""What every test of the engine gets back."""

from __future__ import annotations

import signal

import pytest


@pytest.fixture(autouse=True)
def _own_signals():
    before = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGUSR1)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
