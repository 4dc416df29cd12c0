"""The fuzz run over all kinds of files finds nothing broken, for as long as a test may take."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "tools" / "fuzz.py"


@pytest.mark.slow
@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux")
def test_no_mutant_of_any_kind_breaks_a_reader():
    if not SCRIPT.exists():
        pytest.skip("this test reads a checkout of the source")
    command = [sys.executable, str(SCRIPT), "--seconds", "0.5"]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=300)
    assert ended.returncode == 0, ended.stderr
    rows = [line.split() for line in ended.stdout.splitlines()]
    (counts,) = [row for row in rows if row[:1] == ["all"]]
    assert int(counts[1]) > 500
    assert counts[4] == "0", ended.stdout
