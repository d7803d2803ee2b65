"""Regions: in which part of a slice the classes can lie. task.yaml chooses one by name."""
