"""The other parts of the project, as tests run, load or read them."""
