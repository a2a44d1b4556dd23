"""Measurements of sendctl beside its peers and its limits: `make bench`. Nothing of sendctl imports from here."""
