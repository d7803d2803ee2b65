"""Synthetic head CT with the five bleed types and exact masks: the demo and the data of all tests."""

from recursive_expand.phantom.bleeds import CLASSES
from recursive_expand.phantom.canvas import Tissue
from recursive_expand.phantom.dicom_series import write_dicom_series, write_scout
from recursive_expand.phantom.head import Phantom, make_head, make_slice
from recursive_expand.phantom.studies import StudyTruth, write_demo, write_study

__all__ = [
    "CLASSES",
    "Phantom",
    "StudyTruth",
    "Tissue",
    "make_head",
    "make_slice",
    "write_demo",
    "write_dicom_series",
    "write_scout",
    "write_study",
]
