"""What would take long to compute again, on disk: tensors in general, and decoded pictures."""
