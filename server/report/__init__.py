"""Events to documents: JSON, CSV, pictures."""
