"""Long jobs: rows that outlive a crash and that several processes share."""
