"""Tests of the providers, one folder or file each."""
