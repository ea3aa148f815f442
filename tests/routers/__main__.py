"""`make engines`: prints what came of each proof; a failed one ends it with a traceback."""

import sys

from tests.routers.proofs import run_all

run_all(sys.argv[1:])
