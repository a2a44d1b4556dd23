"""TOML files that people write: read them, check them key by key, and say where each mistake stands.

Shared by the settings and the campaign file. Knows no key of either; never writes a file.
"""

from sendctl.tomlfile.reading import Document, TomlError, read_document, read_utf8
from sendctl.tomlfile.tables import Findings, Table, Variable

__all__ = ["Document", "Findings", "Table", "TomlError", "Variable", "read_document", "read_utf8"]
