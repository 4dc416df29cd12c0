"""Bound how many pixels all threads together decode at a time."""

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

# A pixel takes some 8 bytes while it is decoded.
_PIXELS_AT_ONCE = 200_000_000
_LARGE = 25_000_000


class _Room:
    """Lets threads go on as long as what they hold together stays below a bound."""

    def __init__(self, size: int):
        self._size = size
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Wait until there is room for an amount, or nobody else is in."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + amount <= self._size)
            self._held += amount
        if amount > _LARGE:
            _return_memory()
        try:
            yield
        finally:
            with self._changed:
                self._held -= amount
                self._changed.notify_all()


def _return_memory() -> None:
    """Give memory that was freed back to the system.

    The allocator of Linux keeps some for each thread: eight threads that decode large images one
    after the other would in the end hold eight of them.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)


_room = _Room(_PIXELS_AT_ONCE)
if hasattr(os, "register_at_fork"):  # threads of the parent never leave it in a child

    def _renew_room() -> None:
        global _room
        _room = _Room(_PIXELS_AT_ONCE)

    os.register_at_fork(after_in_child=_renew_room)


def room_for(pixels: int) -> AbstractContextManager[None]:
    """Wait until an image can be decoded beside those that are being decoded now."""
    return _room.hold(pixels)
