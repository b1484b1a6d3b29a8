"""How the inner loops are compiled.

Only what Python calls is kept on disk, and it holds all that it calls. Its key includes SOURCES, so that a change in
any file of this package makes it void, not only one in its own file.
"""

import hashlib
from pathlib import Path

from numba import njit

_FILES = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
SOURCES = int(hashlib.sha256(_FILES).hexdigest()[:15], 16)

_CALLED = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
# What is called from compiled code alone. It makes no arrays, so it need not count who holds those that it is given:
# that took most of the time, as the arrays of a state come with every call.
inner = njit(_nrt=False, **_CALLED)
# The same where it makes arrays.
maker = njit(_nrt=True, **_CALLED)
