"""The command `cxr-pipeline`, which is `python -m pipeline` as well."""

from __future__ import annotations

import atexit
import gc

from pipeline.cli import main


def run() -> None:
    """Run the command line and end the process.

    Python's last act is to look through all objects for cycles, a quarter second for memory that the kernel takes
    back at once: frozen, they are passed over.
    """
    atexit.register(gc.freeze)
    main(prog_name="cxr-pipeline")


if __name__ == "__main__":
    run()
