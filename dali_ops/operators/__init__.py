"""What goes into a pipeline."""
