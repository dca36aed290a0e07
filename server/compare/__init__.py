"""How far two annotations of the same clips agree."""
