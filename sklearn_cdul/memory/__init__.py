"""In come photos; out go their embeddings, made by an encoder once and read from a folder later."""

from sklearn_cdul.memory.folder import clear_memory, memory_size

__all__ = ["clear_memory", "memory_size"]
