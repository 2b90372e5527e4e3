"""Whether mixing makes models better or worse: small ones, trained on few labels of real images, many times."""
