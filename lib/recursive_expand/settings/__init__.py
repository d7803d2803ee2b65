"""Settings: what is segmented, how it is learned, how it is reviewed, and what the machine can bear."""

from recursive_expand.settings.machine import Machine
from recursive_expand.settings.method import Method
from recursive_expand.settings.network import Network
from recursive_expand.settings.pacs import PacsSettings
from recursive_expand.settings.refinement import F_ALONE, Refinement
from recursive_expand.settings.review import Review
from recursive_expand.settings.settings import Settings
from recursive_expand.settings.task import Code, Task, Window
from recursive_expand.settings.task_file import load_settings, preset_names
from recursive_expand.settings.training import Training

__all__ = [
    "F_ALONE",
    "Code",
    "Machine",
    "Method",
    "Network",
    "PacsSettings",
    "Refinement",
    "Review",
    "Settings",
    "Task",
    "Training",
    "Window",
    "load_settings",
    "preset_names",
]
