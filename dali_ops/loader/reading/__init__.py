"""From a source to decoded images: which images a batch has, what is read of them, and which cannot be read.

Other rooms use `decoding`, `feed`, `order` and `unreadable`.
"""
