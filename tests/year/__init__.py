"""A simulated year of one sequence: clocks that change, pauses, deaths and replays; see life.py."""
