"""Pages to read and hand in, made of run folders and their executed notebooks; they need no network."""
