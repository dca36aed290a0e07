"""The order of the stages, and the processes in which they run."""
