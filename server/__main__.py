"""`python -m server` is `glimpse`."""

from server.cli import main

if __name__ == "__main__":
    main()
