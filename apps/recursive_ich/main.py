"""Recursive ICH as a MONAI Label app: wires the library to task.yaml beside this file."""

from monailabel.interfaces.app import MONAILabelApp

from recursive_expand.server.app import RecursiveExpandApp


class RecursiveICH(RecursiveExpandApp, MONAILabelApp):
    """Intracranial haemorrhage in head CT."""
