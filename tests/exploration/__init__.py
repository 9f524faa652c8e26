"""The exploration: every state an incident can reach, each event in each, to a stated depth."""
