"""What ``dalimix bench`` times."""
