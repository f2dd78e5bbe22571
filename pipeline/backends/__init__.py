"""What jobs are done on: this machine's processes and threads, or a cluster. Nothing else knows joblib.

The names are here, where the command line reads them without loading any backend.
"""

from typing import Literal

Backend = Literal["loky", "threading", "sequential", "dask", "ray"]
FILM_TIMEOUT_S = 60.0  # how long one film may take, where nobody says otherwise
