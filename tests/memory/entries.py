"""Entries whose values follow from their keys, so that any reader can tell what is right."""

import hashlib

from sklearn_cdul.memory import store as module
from sklearn_cdul.memory.store import Store


def key(number, length=16):
    return hashlib.shake_128(str(number).encode()).digest(length)


def value(key):
    """Some kB, different for each key."""
    size = 2000 + int.from_bytes(key[:2], "big") // 16
    return hashlib.shake_128(key).digest(size)


def entries(numbers):
    return {key(number): value(key(number)) for number in numbers}


def fill(folder, numbers):
    with Store(folder) as store:
        store.put(entries(numbers))


def right_numbers(folder_or_store, numbers):
    """Which of the numbers have their value; a wrong value fails."""
    store = folder_or_store if isinstance(folder_or_store, Store) else Store(folder_or_store)
    found = {number: store.get(key(number)) for number in numbers}
    for number, stored in found.items():
        assert stored is None or stored == value(key(number)), "a wrong value was believed"
    return [number for number, stored in found.items() if stored is not None]


def forget():
    """As in another process, which has read no folder yet."""
    module._idle.clear()
