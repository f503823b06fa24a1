"""`python -m cnncost`."""

from cnncost.cli import main

if __name__ == "__main__":
    main()
