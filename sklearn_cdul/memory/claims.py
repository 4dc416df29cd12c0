"""The store as the old callers know it, until they use the new one."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sklearn_cdul.memory.store import Store


class EmbeddingStore(Store):
    """A store whose claims always succeed."""

    replaced = False

    def __init__(
        self,
        folder: Path,
        *,
        is_sound: Callable[[bytes], bool] = lambda embedding: True,
        quiet: bool = False,
    ):
        super().__init__(folder)
        self._is_sound = is_sound

    def __enter__(self) -> "EmbeddingStore":
        return self

    def get(self, key: bytes) -> bytes | None:
        """Return a sound value."""
        value = super().get(key)
        return value if value is not None and self._is_sound(value) else None

    def claim(self, keys: Sequence[bytes]) -> tuple[list[bytes], dict[bytes, bytes]]:
        """Claim all keys that nobody has stored."""
        self.refresh()
        ready = {key: value for key in keys if (value := self.get(key)) is not None}
        return [key for key in keys if key not in ready], ready

    def put(self, embeddings: Mapping[bytes, bytes | None]) -> None:  # type: ignore[override]
        """Store what is not None."""
        super().put({key: value for key, value in embeddings.items() if value is not None})

    def free_dead_claims(self) -> None:
        """There are none."""

    search_damage = notice_deletion = free_dead_claims
