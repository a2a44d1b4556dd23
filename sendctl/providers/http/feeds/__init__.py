"""The events of services as they are pulled: one file for each service, over the client that all share.

What an entry means is said by sendctl/providers/events; here is where it is found, and how its pages go on.
"""
