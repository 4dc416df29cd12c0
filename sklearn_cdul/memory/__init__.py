"""In come photos; out go their embeddings, made by an encoder once and read from a folder later."""

from sklearn_cdul.memory.folder import clear_memory, memory_size
from sklearn_cdul.memory.merging import merge_memory

__all__ = ["clear_memory", "memory_size", "merge_memory"]
