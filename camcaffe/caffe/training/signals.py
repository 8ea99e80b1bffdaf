"""What the keyboard and the system ask of a run, answered between two iterations as Caffe does."""

from __future__ import annotations

import signal
from types import FrameType

from camcaffe.caffe.training.solver import SNAPSHOT, STOP

# Signal -> what it asks for. Windows has no SIGHUP.
_EFFECTS = {"SIGINT": STOP, "SIGTERM": STOP, "SIGHUP": SNAPSHOT}


class SignalRequests:
    """Turns signals into requests to a `Solver`, within `with`; call it to get the one that came last.

    Ctrl-C (SIGINT) and SIGTERM stop the run after a last snapshot, SIGHUP writes a snapshot. A second Ctrl-C
    interrupts at once.
    """

    def __init__(self):
        self._pending, self._before = None, {}

    def __call__(self) -> str | None:
        """What was asked for since the last call."""
        pending, self._pending = self._pending, None
        return pending

    def __enter__(self) -> SignalRequests:
        for name in _EFFECTS:
            if hasattr(signal, name):
                number = getattr(signal, name)
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._pending != STOP:
            self._pending = _EFFECTS[signal.Signals(number).name]
        if self._pending == STOP:
            signal.signal(number, self._before[number])
