"""What is trained, and how, where a benchmark times steps of a training."""
