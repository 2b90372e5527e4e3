"""What others do for the same work, to be compared with."""
