"""How `compose` makes pixels on the CPU, step by step."""
