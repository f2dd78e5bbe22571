"""What a run would take, before it runs: rates measured on some films, and the arithmetic of many."""
