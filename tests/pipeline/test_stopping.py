"""The deadline of a run that was asked to end holds, whatever other signals came before."""

from __future__ import annotations

import subprocess
import sys

HELD_UP = """
import hashlib, os, signal, sys, threading
from pipeline.stopping import stoppable
signal.signal(signal.SIGUSR1, lambda *_told: None)  # as torch hears of its children that end
with stoppable(lambda name: print(name, flush=True)):
    for _ in range(int(sys.argv[1])):
        os.kill(os.getpid(), signal.SIGUSR1)
    threading.Timer(0.5, print, ["ready"], {"flush": True}).start()  # said while the main thread is in the library
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # minutes in a library that no signal interrupts
"""


def test_a_run_that_is_held_up_ends_at_the_deadline_though_other_signals_came_before() -> None:
    for others in ("0", "3"):
        command = [sys.executable, "-c", HELD_UP, others]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.terminate()
            try:
                said, complaints = process.communicate(timeout=30)  # the library would take minutes
            finally:
                process.kill()
            assert said == "SIGTERM\n"
            assert complaints == ""
            assert process.returncode == 1
