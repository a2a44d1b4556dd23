"""`python -m sendctl`: the same program as the `sendctl` console script."""

from sendctl.cli.app import main

if __name__ == "__main__":
    main()
