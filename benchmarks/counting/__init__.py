"""What can be told of kernels and their launches without a GPU."""
