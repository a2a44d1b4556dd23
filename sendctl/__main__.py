"""The program's first line, for `sendctl` and `python -m sendctl`: it hears signals while the rest is imported."""

from sendctl import stopping


def main() -> None:
    """The console script."""
    stopping.listen()
    from sendctl.cli.app import main as program  # noqa: PLC0415  takes a while, in which a signal may come

    program()


if __name__ == "__main__":
    main()
