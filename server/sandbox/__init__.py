"""What a worker process may not do, said to the kernel; knows nothing of clips and nothing of the rest of the service."""
