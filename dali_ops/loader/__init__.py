"""The loader: from a source to batches that are ready to train on."""
