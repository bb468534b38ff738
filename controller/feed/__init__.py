"""What controllers tell gates: the facts that verdicts need, and each change of them."""
