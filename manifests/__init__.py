"""What is remembered: row classes, their Arrow schemas, and how they reach the disk."""
