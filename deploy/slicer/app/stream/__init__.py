"""How a page reaches the program, and what goes over it: input one way, pictures the other."""
