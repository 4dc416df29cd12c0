"""Runs the command line: ``python -m sklearn_cdul``."""

import sys

from sklearn_cdul.cli import main

sys.exit(main())
