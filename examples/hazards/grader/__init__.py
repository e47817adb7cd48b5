"""What expose is made of. The opening of expose says in which order to read it."""
