"""The crash suite: sendctl is killed, stopped and starved at every named point, and another process judges."""
