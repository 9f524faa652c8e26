"""The same daemon over made-up or recorded history: scenarios on virtual time against the in-process sandbox."""
