"""Three ways to keep many entries of 10 kB in a folder: seconds, and what they take on the disk.

The entries are written in batches of 256 under random keys, each with a checksum. Then another
store opens the folder, counts them, and reads all in random order; each value is compared with
what was written. "files" is one file per entry, "SQLite" one table in one file, and "segments" the
Store of the package: what was written last is at the end of a file.

The disk's cache is as the writing has left it. A million entries need up to 17 GB at a time, which
are deleted again, and up to an hour on a slow disk.
"""

import os
import sqlite3
import tempfile
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

import common
import numpy as np

from sklearn_cdul.memory.store import Store

BATCH = 256
N_BYTES = 10_000


def checksum(key, value):
    return blake2b(value, digest_size=16, key=key).digest()


class Files:
    """One file per entry, in 256 folders, written under another name first."""

    def __init__(self, folder):
        self.folder = folder
        for number in range(256):
            (folder / f"{number:02x}").mkdir(exist_ok=True)

    def put(self, entries):
        for key, value in entries.items():
            path = self.folder / key[:1].hex() / key.hex()
            path.with_suffix(".new").write_bytes(checksum(key, value) + value)
            path.with_suffix(".new").rename(path)

    def get(self, key):
        content = (self.folder / key[:1].hex() / key.hex()).read_bytes()
        return content[16:] if checksum(key, content[16:]) == content[:16] else None

    def count(self):
        return sum(len(os.listdir(path)) for path in self.folder.iterdir())

    def close(self):
        pass


class SQLite:
    """One row per entry, a transaction per batch, with a write-ahead log."""

    def __init__(self, folder):
        self.sql = sqlite3.connect(folder / "entries.sqlite", isolation_level=None)
        self.sql.execute("PRAGMA page_size = 16384")
        self.sql.execute("PRAGMA journal_mode = WAL")
        self.sql.execute("PRAGMA synchronous = NORMAL")
        self.sql.execute("CREATE TABLE IF NOT EXISTS e (key BLOB PRIMARY KEY, value, checksum)")

    def put(self, entries):
        self.sql.execute("BEGIN IMMEDIATE")
        rows = [(key, value, checksum(key, value)) for key, value in entries.items()]
        self.sql.executemany("INSERT OR REPLACE INTO e VALUES (?, ?, ?)", rows)
        self.sql.execute("COMMIT")

    def get(self, key):
        query = "SELECT value, checksum FROM e WHERE key = ?"
        value, check = self.sql.execute(query, (key,)).fetchone()
        return value if checksum(key, value) == check else None

    def count(self):
        return self.sql.execute("SELECT count(*) FROM e").fetchone()[0]

    def close(self):
        self.sql.close()


class Segments(Store):
    """The package's store, which otherwise leaves what it knows to the next one when it closes."""

    def count(self):
        return sum(1 for _ in self)

    def close(self):
        pass


def on_disk(folder):
    """Bytes of the blocks that the files take, and the number of files."""
    stats = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum(getattr(each, "st_blocks", each.st_size // 512) * 512 for each in stats), len(stats)


def main():
    parser = common.parser(__doc__, "json")
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, help="where to write, else the temporary folder")
    options = common.parse(parser)
    rng = np.random.default_rng(0)
    pool = rng.bytes(50_000_000)
    keys = [rng.bytes(16) for _ in range(options.entries)]

    def entry(key):
        start = int.from_bytes(key[:8], "big") % (len(pool) - N_BYTES)
        return pool[start : start + N_BYTES]

    def write(kind, folder):
        with closing(kind(folder)) as store:
            for start in range(0, len(keys), BATCH):
                store.put({key: entry(key) for key in keys[start : start + BATCH]})

    def read(store, order):
        assert all(store.get(keys[number]) == entry(keys[number]) for number in order)

    columns = {"write, s": ".1f", "open, s": ".2f", "count, s": ".2f", "read, s": ".1f"}
    columns |= {"GB": ".2f", "number of files": ",d"}
    table = common.Table(f"{options.entries:,} entries", columns, width=20)
    for name, kind in {"files": Files, "SQLite": SQLite, "segments": Segments}.items():
        with tempfile.TemporaryDirectory(dir=options.folder) as place:
            folder = Path(place)
            _, written = common.timed(write, kind, folder)
            store, opened = common.timed(kind, folder)
            with closing(store):
                number, counted = common.timed(store.count)
                assert number == len(keys)
                _, seconds = common.timed(read, store, rng.permutation(len(keys)))
            n_bytes, n_files = on_disk(folder)
            table.row(name, written, opened, counted, seconds, n_bytes / 1e9, n_files)
    common.write_tables(options)


if __name__ == "__main__":
    main()
