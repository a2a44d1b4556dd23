"""The outcome journal: a run's local append-only record of intents and outcomes, imported by the next run.

It survives kill -9 because each record is written before the bytes it announces; a reboot may cut its tail, so a
journal from before a reboot proves outcomes, never their absence.
"""
