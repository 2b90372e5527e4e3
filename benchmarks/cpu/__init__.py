"""How near the loops for the CPU come to what the machine can do, and how they grow."""
