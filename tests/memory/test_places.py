"""Folders in which embeddings can't be stored or read: an error beforehand, a warning later."""

import contextlib
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import filelock
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from sklearn_cdul.memory import store
from tests.memory.common import N_PHOTOS, SETTINGS, database, rows_in

CANT = r"can't be stored in the folder memory='.*cache'"


def in_the_way(folder):
    Path(folder).write_text("a file")


def lock_is_a_folder(folder):
    Path(folder, "opening.lock").mkdir(parents=True)


def database_is_a_folder(folder):
    database(folder).mkdir(parents=True)


@pytest.mark.parametrize("prepare", [in_the_way, lock_is_a_folder, database_is_a_folder])
def test_a_file_or_folder_in_the_way_is_an_error_before_anything_is_encoded(
    prepare, labeler, photos, encoded
):
    prepare(labeler.memory)
    with pytest.raises(OSError, match=CANT + ".*Remove what has that name"):
        labeler.embed(photos)
    assert encoded == []


def test_what_can_be_no_path_is_an_error(labeler, photos):
    with pytest.raises(ValueError, match=r"memory='a\\x00b' has a null character"):
        labeler.set_params(memory="a\0b").embed(photos)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no users by ~name")
def test_the_home_of_nobody_is_an_error(labeler, photos):
    with pytest.raises(OSError, match="memory='~no-such-user/cache' is unknown"):
        labeler.set_params(memory="~no-such-user/cache").embed(photos)


# permission


@pytest.fixture
def as_nobody():
    """A folder in which the user may write, and a context in which the user may not."""
    if not hasattr(os, "geteuid"):
        pytest.skip("needs the permissions of POSIX")
    # The folders of pytest can't be entered by others.
    folder = Path(tempfile.mkdtemp())
    user = os.geteuid()

    @contextlib.contextmanager
    def context(mode=0o555):
        folder.chmod(mode)
        if user == 0:  # permissions don't hold for root
            os.seteuid(65534)
        try:
            yield
        finally:
            if user == 0:
                os.seteuid(0)
            folder.chmod(0o755)

    yield folder, context
    shutil.rmtree(folder)


def test_a_read_only_folder_is_read_and_new_embeddings_are_used(
    labeler, photos, expected, encoded, as_nobody
):
    folder, read_only = as_nobody
    labeler.set_params(memory=folder)
    pictures = [Image.open(path).convert("RGB") for path in photos]
    labeler.embed(pictures[:10])
    with read_only(), pytest.warns(UserWarning, match="can't be written") as caught:
        assert_allclose(labeler.embed(pictures), expected, atol=1e-5)
    assert len(caught) == 1
    assert sum(encoded) == N_PHOTOS
    assert rows_in(folder) == 10


@pytest.mark.parametrize("mode", [0o555, 0o444, 0o000], ids=oct)
@pytest.mark.parametrize("name", ["", "cache"])
def test_a_folder_that_can_never_be_written_is_an_error(labeler, photos, as_nobody, mode, name):
    folder, read_only = as_nobody
    labeler.set_params(memory=folder / name)
    pictures = [Image.open(path).convert("RGB") for path in photos[:2]]
    with read_only(mode), pytest.raises(OSError, match="folder that you may write to") as caught:
        labeler.embed(pictures)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("mode", [0o444, 0o000], ids=oct)
def test_a_folder_that_can_not_be_entered_is_an_error(labeler, photos, as_nobody, mode):
    folder, closed = as_nobody
    labeler.set_params(memory=folder)
    pictures = [Image.open(path).convert("RGB") for path in photos[:2]]
    labeler.embed(pictures)
    with closed(mode), pytest.raises(OSError, match="folder that you may write to"):
        labeler.embed(pictures)


def test_a_file_that_can_not_be_read_is_an_error(labeler, photos, as_nobody):
    folder, context = as_nobody
    labeler.set_params(memory=folder)
    pictures = [Image.open(path).convert("RGB") for path in photos[:2]]
    labeler.embed(pictures)
    database(folder).chmod(0)
    with context(0o777), pytest.raises(OSError, match="folder that you may write to"):
        labeler.embed(pictures)


# disks


def test_a_full_disk_is_one_warning_and_costs_no_result(labeler, photos, expected, encoded):
    resource = pytest.importorskip("resource")
    labeler.embed(photos[:2])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow beyond this, which SQLite meets like a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        with pytest.warns(UserWarning, match="not stored") as caught:
            result = labeler.set_params(batch_size=1).fit().embed(photos)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(caught) == 1
    assert not list(labeler.memory.glob("claims-*"))
    assert_allclose(result, expected, atol=1e-5)
    assert sum(encoded) == N_PHOTOS
    assert_allclose(labeler.embed(photos), expected, atol=1e-5)


@pytest.mark.parametrize(
    "error",
    [
        NotImplementedError("FileSystem does not appear to support flock"),
        OSError(errno.EOPNOTSUPP, "Operation not supported"),
        OSError(errno.ENOLCK, "No locks available"),
        OSError(errno.ENOSYS, "Function not implemented"),
    ],
    ids=lambda error: type(error).__name__ + str(getattr(error, "errno", "")),
)
class TestWhereFilesCantBeLocked:
    """As on Lustre and some FUSE mounts; the lock is a stand-in."""

    @staticmethod
    def forbid(monkeypatch, error):
        def acquire(*args, **kwargs):
            raise error

        monkeypatch.setattr(filelock.FileLock, "acquire", acquire)

    def test_a_new_folder_is_an_error(self, error, labeler, photos, encoded, monkeypatch):
        self.forbid(monkeypatch, error)
        with pytest.raises(OSError, match=CANT + ".*network folder.*local disk"):
            labeler.embed(photos)
        assert encoded == []

    def test_a_full_folder_is_read(self, error, labeler, photos, expected, encoded, monkeypatch):
        labeler.embed(photos[:5])
        self.forbid(monkeypatch, error)
        with pytest.warns(UserWarning, match="not stored.*network folder.*local disk") as caught:
            assert_allclose(labeler.embed(photos), expected, atol=1e-5)
        assert len(caught) == 1
        assert sum(encoded) == N_PHOTOS

    def test_a_lock_that_fails_later_is_a_warning(
        self, error, labeler, photos, expected, monkeypatch
    ):
        acquire = store.acquire

        def only_the_first(lock, timeout):
            if "claims" in lock.lock_file:
                raise error if isinstance(error, OSError) else OSError(errno.ENOSYS, "no locks")
            return acquire(lock, timeout)

        monkeypatch.setattr(store, "acquire", only_the_first)
        with pytest.warns(UserWarning, match="not stored"):
            assert_allclose(labeler.embed(photos), expected, atol=1e-5)


class Connection:
    """A connection that fails at some statements."""

    def __init__(self, connection, fails):
        self._connection, self._fails = connection, fails

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def execute(self, sql, *parameters):
        self._fails(sql)
        return self._connection.execute(sql, *parameters)


@pytest.fixture
def failing(monkeypatch):
    """Takes a function that raises at the statements that shall fail."""
    connect = sqlite3.connect

    def patch(fails):
        monkeypatch.setattr(
            sqlite3, "connect", lambda *args, **kwargs: Connection(connect(*args, **kwargs), fails)
        )

    return patch


@pytest.mark.parametrize("words", ["locking protocol", "disk I/O error"])
def test_a_network_drive_is_an_error_before_anything_is_encoded(
    words, labeler, photos, encoded, failing
):
    def fails(sql):
        if "journal_mode" in sql:
            raise sqlite3.OperationalError(words)

    failing(fails)
    with pytest.raises(OSError, match=CANT + f": {words}.*network folder.*local disk"):
        labeler.embed(photos)
    assert encoded == []
    assert [path.name for path in labeler.memory.iterdir()] == ["opening.lock"]


def test_reading_that_fails_in_the_middle_is_a_warning_and_costs_no_result(
    labeler, photos, expected, encoded, failing
):
    labeler.embed(photos)
    n_read = []

    def fails(sql):
        if sql.startswith("SELECT embedding"):
            n_read.append(sql)
            if len(n_read) > 5:
                raise sqlite3.OperationalError("disk I/O error")

    failing(fails)
    encoded.clear()
    with pytest.warns(UserWarning, match="can't be read any more: disk I/O error") as caught:
        assert_allclose(labeler.embed(photos), expected, atol=1e-5)
    assert len(caught) == 1
    assert sum(encoded) == N_PHOTOS - 5
    assert not list(labeler.memory.glob("claims-*"))


def test_writing_that_fails_in_the_middle_is_a_warning(labeler, photos, expected, failing):
    def fails(sql):
        if sql == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")

    failing(fails)
    with pytest.warns(UserWarning, match="can't be written: disk I/O error") as caught:
        assert_allclose(labeler.embed(photos), expected, atol=1e-5)
    assert len(caught) == 1


# Python without sqlite3


def test_all_but_memory_works_in_a_python_without_sqlite3(photos, tmp_path):
    code = (
        "import sys\n"
        "sys.modules['_sqlite3'] = None\n"
        "from sklearn_cdul import CLIPPseudoLabeler\n"
        f"labeler = CLIPPseudoLabeler(**{SETTINGS}).fit()\n"
        "labeler.transform(sys.argv[2:])\n"
        "try:\n"
        "    labeler.set_params(memory=sys.argv[1]).fit().embed(sys.argv[2:])\n"
        "except ImportError as error:\n"
        "    sys.exit(str(error))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "cache"), *photos[:2]]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert "cache' needs the module sqlite3" in result.stderr
    assert "set memory=None" in result.stderr


def test_nothing_is_said_where_nothing_is_wrong(labeler, photos, recwarn):
    first, again = (labeler.fit().embed(photos[:2]) for _ in range(2))
    assert_allclose(first, again)
    assert not [str(each.message) for each in recwarn]
