"""Lightning callbacks: logs, progress bar, averaged weights, checkpoints, exact resumption."""
