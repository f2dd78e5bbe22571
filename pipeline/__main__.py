"""The command `cxr-pipeline`, which is `python -m pipeline` as well."""

from __future__ import annotations

import atexit
import gc
import os
import sys

from pipeline.cli import main


def _freeze() -> None:
    if "torch" not in sys.modules:  # its bindings count what is left at the end, and would complain
        gc.freeze()


def run() -> None:
    """Run the command line and end the process.

    Python's last act is to look through all objects for cycles, a quarter second for memory that the kernel takes
    back at once: frozen, they are passed over. A run that was stopped ends before modules are torn down: libraries
    that were cut off while they loaded would complain of what they had begun. Arrow takes its memory, here and in
    the workers, from the system, which gets it back: its own allocator keeps twice what is in use.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # read when pyarrow is loaded
    atexit.register(_freeze)
    try:
        main(prog_name="cxr-pipeline")
    except SystemExit as end:
        stopping = sys.modules.get("pipeline.stopping")  # only what writes can be stopped: `--help` does without
        if stopping is not None and stopping.heard():
            atexit._run_exitfuncs()  # loky's pool would be told of as leaked  # noqa: SLF001 - no other name calls them
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(int(end.code or 0))
        raise


if __name__ == "__main__":
    run()
