"""The program's first line, for `sendctl` and `python -m sendctl`: it hears signals while the rest is imported."""

from sendctl import stopping


def main() -> None:
    """The console script."""
    stopping.listen()
    import sys  # noqa: PLC0415  here and below: what takes a while, in which a signal may come

    from sendctl.cli.idle import answered  # noqa: PLC0415

    code = answered(sys.argv[1:])
    if code is not None:
        stopping.ignore()
        sys.exit(code)
    from sendctl.cli.app import main as program  # noqa: PLC0415

    program()


if __name__ == "__main__":
    main()
