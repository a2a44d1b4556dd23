"""Other programs doing the same job, each in an environment of the benchmark's own."""
