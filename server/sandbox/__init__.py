"""What a worker process may not do, said to the kernel; knows nothing of clips, nor of the rest of the service."""
