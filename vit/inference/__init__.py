"""Models at work on folders of pictures: which files, in what order, and one row for each."""
