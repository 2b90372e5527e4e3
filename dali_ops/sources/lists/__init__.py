"""Data sets that a list of files describes."""
