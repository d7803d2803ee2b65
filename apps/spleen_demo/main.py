"""The spleen in abdominal CT as a MONAI Label app: another organ is another task.yaml."""

from monailabel.interfaces.app import MONAILabelApp

from recursive_expand.server.app import RecursiveExpandApp


class SpleenDemo(RecursiveExpandApp, MONAILabelApp):
    """Spleen in abdominal CT."""
