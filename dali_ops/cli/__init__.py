"""The command line ``dalimix``."""
