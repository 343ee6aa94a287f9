"""Long jobs: rows that survive a crash and that several processes can share."""
