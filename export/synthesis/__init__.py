"""Training data without real people: action units to motion, to flow fields or to rendered clips."""
