"""The tests, one folder per part; helpers shared by several parts stand beside them."""
