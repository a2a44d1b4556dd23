"""sendctl: a batch mail sender that always knows who was reached."""

__version__ = "0.1.0"
