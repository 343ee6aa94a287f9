"""What `vit data` says of a dataset before anything is trained."""
