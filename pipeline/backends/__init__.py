"""What jobs are done on: this machine's processes and threads, or a cluster. Nothing else knows joblib."""
