"""Data sets of many images per file: tar shards and TFRecord files."""
