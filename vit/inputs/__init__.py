"""From what a command line names to batches: files, archives, lists, decoding. Knows no model."""
