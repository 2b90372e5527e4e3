"""One method each, against its authors' way."""
