"""CUDA C++ sources of dalimix; read as data, never imported for code."""
