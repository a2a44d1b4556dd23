"""Tests of the benchmarks: their figures are published, so what makes a figure void must be noticed."""
