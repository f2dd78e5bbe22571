"""What a machine is asked before it works: one file per question, each answered by findings."""
