"""What every test of the engine gets back."""

from __future__ import annotations

import signal

import pytest


@pytest.fixture(autouse=True)
def _own_signals():
    known = (getattr(signal, name, None) for name in ("SIGTERM", "SIGUSR1"))
    before = {s: signal.getsignal(s) for s in known if s is not None}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
