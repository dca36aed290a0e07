"""What drove an answer: parts of the motion are hidden, and the model is asked again."""
