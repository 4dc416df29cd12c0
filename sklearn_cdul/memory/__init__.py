"""A folder that keeps bytes under keys, so that what takes long to compute is computed once."""

from sklearn_cdul.memory.store import clear_memory, memory_size, merge_memory

__all__ = ["clear_memory", "memory_size", "merge_memory"]
