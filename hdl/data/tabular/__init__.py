"""Tables: the kinds of their columns, what one pass finds of them, and how they become inputs of a net."""
