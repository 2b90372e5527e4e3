"""Every kernel by itself."""
