"""DICOM files as data sets."""

from __future__ import annotations

import threading
import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from recursive_expand.errors import InputError

_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")
"""What a data set without preamble begins with: group 0002 or 0008, in either byte order."""

_DICOM_ROOT = "1.2.840.10008."


class NotDicomError(InputError):
    """A file that is no DICOM at all, as opposed to a damaged one."""

    def __init__(self, source: str) -> None:
        super().__init__(source, "is not DICOM")


def read_dicom(path: Path, **options: Any) -> pydicom.Dataset:
    """`pydicom.dcmread`, also of files without preamble and meta information, as old exports have them.

    Args:
        path: the file.
        options: of `pydicom.dcmread`.

    Raises:
        NotDicomError: where it is no DICOM.
        InputError: where it is damaged.
    """
    try:
        return pydicom.dcmread(path, **options)
    except InvalidDicomError:
        return _without_preamble(path, options)
    except OSError as error:
        raise InputError(path.name, f"cannot be read ({error.strerror or 'damaged'}); copy it again") from error
    except Exception as error:  # whatever a damaged file makes of pydicom costs this file alone
        raise _damaged(path, error) from error


class _Silence:
    """A filter of warnings while any thread is inside: filters are the process's, not a thread's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\b")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._before.__exit__(None, None, None)


_silence = _Silence()


def values_as_they_are() -> AbstractContextManager[None]:
    """Keep pydicom from a warning for each value that is not as the standard wants: it would print that value.

    RSNA 2019 has `ID_...` in place of UIDs; elsewhere it may be a patient's name.
    """
    return _silence


def _without_preamble(path: Path, options: dict[str, Any]) -> pydicom.Dataset:
    """Read a bare data set; pydicom would read any file, so that it must look like one before and after."""
    with path.open("rb") as file:
        if file.read(2) not in _FIRST_GROUPS:
            raise NotDicomError(path.name)
    tags = options.get("specific_tags")
    wanted = options | ({"specific_tags": [*tags, "SOPClassUID"]} if tags else {})
    try:
        dataset = pydicom.dcmread(path, force=True, **wanted)
        plausible = str(dataset.get("SOPClassUID") or "").startswith(_DICOM_ROOT)
    except Exception as error:
        raise NotDicomError(path.name) from error
    if not plausible:
        raise NotDicomError(path.name)
    if "TransferSyntaxUID" not in dataset.file_meta:
        explicit = ExplicitVRLittleEndian if dataset.is_little_endian else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if dataset.is_implicit_VR else explicit
    return dataset


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(path.name, f"cannot be read as DICOM ({type(error).__name__}); copy it again")
