"""From the inputs of a command line to batches: files, archives, lists, decoding. Knows no model."""
