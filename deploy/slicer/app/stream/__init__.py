"""How a page's connection gets to the program, and what may go over it: input and pictures."""
