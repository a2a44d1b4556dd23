"""Whole lives of sequences, invented by hypothesis, against an oracle that says what each person must have got."""
