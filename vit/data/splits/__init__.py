"""How a dataset is divided into train, val and test, and the record of it that a run keeps."""
