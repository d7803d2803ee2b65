"""Synthetic CT with exact masks, heads with the five bleed types and abdomens with a spleen: demo and test data."""

from recursive_expand.phantom.abdomen import Abdomen, make_abdomen
from recursive_expand.phantom.bleeds import CLASSES
from recursive_expand.phantom.canvas import Tissue
from recursive_expand.phantom.dicom_series import write_dicom_series, write_scout
from recursive_expand.phantom.head import Phantom, make_head, make_slice
from recursive_expand.phantom.spleen_study import write_spleen_study
from recursive_expand.phantom.studies import StudyTruth, write_demo, write_study

__all__ = [
    "CLASSES",
    "Abdomen",
    "Phantom",
    "StudyTruth",
    "Tissue",
    "make_abdomen",
    "make_head",
    "make_slice",
    "write_demo",
    "write_dicom_series",
    "write_scout",
    "write_spleen_study",
    "write_study",
]
