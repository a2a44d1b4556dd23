"""From a step's templates and one recipient's data to the bytes that are handed to a provider.

Never touches the store, the network or the clock: the same inputs always give the same bytes.
"""
