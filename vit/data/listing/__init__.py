"""Which files a dataset consists of, by class folders, a manifest, or names of parts. Nothing is decoded."""
