"""One module per format that a dataset comes in."""
