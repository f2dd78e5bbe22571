"""What a run would write, keep and delete, told by `--dry-run`: asked of the same jobs that the run would do."""
