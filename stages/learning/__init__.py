"""Networks, batches and the training loop: the only room that imports torch."""
