"""Damaged and malicious files: each costs itself only, in one line, and no more memory than is allowed.

`RECURSIVE_EXPAND_DAMAGED_FILES=20000` sets how many files are tried of all kinds together; 2,400 without it.
"""

from __future__ import annotations

import gzip
import json
import os
import struct
import tracemalloc
import warnings
import zlib
from contextlib import contextmanager, nullcontext

import nibabel as nib
import nrrd
import numpy as np
import pytest

from recursive_expand.archives.folder import FolderArchive
from recursive_expand.archives.images import read_geometry, read_info, read_label, read_volume, write_label
from recursive_expand.cases import Geometry, LabelMap
from recursive_expand.errors import InputError

COUNT = int(os.environ.get("RECURSIVE_EXPAND_DAMAGED_FILES", "2400"))
TRACED = 1 if "RECURSIVE_EXPAND_DAMAGED_FILES" in os.environ else 16
"""One file in so many has its memory looked at, which takes several times as long."""
LIMIT = 2**24
"""`max_case_bytes` of these tests."""
BESIDE = 2**23
"""What the readers may use beside the voxels: a header, and portions on their way."""
CLASSES = ("epidural", "subdural")
AFFINE = np.array([[-0.5, 0, 0, 120], [0, -0.46, -0.2, 110], [0, -0.15, 5.0, -30], [0, 0, 0, 1]])
NUMBERS = (0, 1, -1, 2, 3, 7, 127, 255, 348, 352, 540, 8192, 8193, 32767, -32768, 65535, 2**31 - 1, -(2**31), 10**9)
FLOATS = (0.0, -0.0, 1e-320, 1e-30, 0.5, -1.0, 352.5, 1e9, 3e38, np.nan, np.inf, -np.inf)
TEXTS = (
    b"",
    b"0",
    b"-1",
    b"nan",
    b"inf",
    b"1e400",
    b"9" * 400,
    b"none",
    b"\n",
    b"\n\n",
    b"(1,2)",
    b"\xff",
    b"\0",
    b'"',
)


@contextmanager
def within(memory):
    """Fail where more bytes than that are taken at a time."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= memory, f"{peak} bytes were taken, {memory} are allowed"


def images(folder):
    """Name and content of a good file of each kind."""
    voxels = np.random.default_rng(0).integers(0, 3, (7, 6, 5))
    kinds = {
        "plain.nii": nib.Nifti1Image(voxels.astype(np.int16), AFFINE),
        "big.nii": nib.Nifti1Image(voxels.astype(np.float32), AFFINE, header=nib.Nifti1Header(endianness=">")),
        "two.nii": nib.Nifti2Image(voxels.astype(np.float64), AFFINE),
        "packed.nii.gz": nib.Nifti1Image(voxels.astype(np.uint8), AFFINE),
    }
    for name, image in kinds.items():
        nib.save(image, folder / name)
    label = LabelMap(voxels.astype(np.uint8), Geometry.of((7, 6, 5), AFFINE))
    write_label(folder / "label.nii.gz", label, info={"verdict": "accept"})
    write_label(folder / "label.nrrd", label, info={"verdict": "accept"})
    nrrd.write(str(folder / "raw.nrrd"), voxels.astype(np.int16), {"encoding": "raw", "spacings": [1, 1, 5]})
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def mutated(content, rng):
    """A file's content, damaged in one to four ways; what was packed is mostly damaged before it is packed."""
    packed = content[:2] == b"\x1f\x8b" and rng.random() < 0.8
    data = bytearray(gzip.decompress(content) if packed else content)
    for _ in range(rng.integers(1, 5)):
        if not data:
            break
        # Half of the damage is in the header, which is what can do harm.
        at = int(rng.integers(0, min(len(data), 360) if rng.random() < 0.7 else len(data)))
        kind = rng.integers(0, 9)
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            data[at : at + 4] = struct.pack(rng.choice(["<f", ">f"]), rng.choice(FLOATS))
        elif kind == 2:
            data[at // 2 * 2 : at // 2 * 2 + 2] = struct.pack("<q", int(rng.choice(NUMBERS)))[:2]
        elif kind == 3:
            data[at : at + 8] = struct.pack("<q", int(rng.choice(NUMBERS)))
        elif kind == 4:
            del data[at : at + int(rng.integers(1, 40))]
        elif kind == 5:
            del data[at:]
        elif kind == 6:
            data[at:at] = rng.bytes(int(rng.integers(1, 40)))
        elif kind == 7:
            data[at:at] = TEXTS[int(rng.integers(0, len(TEXTS)))]
        else:
            offset = rng.choice([108, 40, 42, 44, 46, 70, 72, 76, 80, 112, 116, 252, 254, 280, 292, 296, 308, 344, 348])
            data[offset : offset + 4] = struct.pack("<f", rng.choice(FLOATS))
    return gzip.compress(bytes(data), 1) if packed else bytes(data)


def only_input_errors(work, *, seed):
    """Run this; return what it gives, or None where it refused with one line."""
    try:
        return work()
    except InputError as error:
        assert str(error).isprintable() and len(str(error)) < 2100, f"seed {seed}: {error!r}"
    except BaseException as error:
        raise AssertionError(f"seed {seed}: {error!r}") from error
    return None


def test_damaged_images_are_refused_in_one_line_or_read(tmp_path):
    (tmp_path / "good").mkdir()
    good = list(images(tmp_path / "good").items())
    read = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(COUNT // 2):
            rng = np.random.default_rng(seed)
            name, content = good[seed % len(good)]
            path = tmp_path / name
            path.write_bytes(mutated(content, rng))
            with within(2 * LIMIT + BESIDE) if seed % TRACED == 0 else nullcontext():
                volume = only_input_errors(lambda path=path: read_volume(path, max_bytes=LIMIT), seed=seed)
                only_input_errors(lambda path=path: read_geometry(path), seed=seed)
                only_input_errors(lambda path=path: read_label(path, max_bytes=LIMIT), seed=seed)
                only_input_errors(lambda path=path: read_info(path), seed=seed)
            if volume is not None:
                assert volume.hu.shape == volume.geometry.shape and np.isfinite(volume.geometry.affine).all()
                read += 1
    assert 0.02 < read / (COUNT // 2) < 0.9  # the damage is neither always nor never fatal


TABLE = f"case_id,role,patient\na,pixel,P1\nb,test,P2\nc,image,\n\n{'d,unlabelled,P3' * 2}\n"
LABELS = f"case_id,slice,{','.join(CLASSES)}\na,0,1,0\nb,,0,1\nc,4,0,1\nc,1,1,1\n"
INFO = json.dumps({"verdict": "accept", "rejected_slices": [1, 2], "reviewer": "x", "inner": {"a": [None, 1e5]}})
REFERENCE = json.dumps(
    {
        "series_instance_uid": "1.2",
        "study_instance_uid": "1",
        "sop_instance_uids": ["1.2.1", "1.2.2"],
        "image_position_patient": [[0, 0, 0], [0, 0, 5]],
        "image_orientation_patient": [1, 0, 0, 0, 1, 0],
        "pixel_spacing_mm": [0.5, 0.5],
        "tilt_degrees": 0,
        "slice_spacings_mm": [5],
    }
)


def test_damaged_tables_and_json_files_are_set_aside_in_one_line(tmp_path):
    (tmp_path / "labels" / "final").mkdir(parents=True)
    (tmp_path / "geometry").mkdir()
    label = LabelMap.background(Geometry.of((7, 6, 5), AFFINE))
    for case_id in "abc":
        write_label(tmp_path / f"{case_id}.nii", label, fsync=False)
    write_label(tmp_path / "labels" / "final" / "a.nii", label, fsync=False)
    good = {"cases.csv": TABLE, "image_labels.csv": LABELS, "labels/final/a.json": INFO}
    good["geometry/a.geometry.json"] = REFERENCE
    for name, content in good.items():
        (tmp_path / name).write_text(content)
    archive = FolderArchive(tmp_path, CLASSES, max_case_bytes=LIMIT)
    encodings = ("utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252")
    for seed in range(COUNT // 2):
        rng = np.random.default_rng(seed)
        name, content = list(good.items())[seed % len(good)]
        (tmp_path / name).write_bytes(mutated(content.encode(encodings[seed // 4 % 5]), rng))
        with within(BESIDE) if seed % TRACED == 0 else nullcontext():
            scan = only_input_errors(archive.scan, seed=seed)
            only_input_errors(lambda: archive.reference("a"), seed=seed)
            only_input_errors(lambda: archive.read_expert_label("a"), seed=seed)
        assert scan is not None
        for line in [*map(str, scan.set_aside), scan.unusable or "fine"]:
            assert line.isprintable() and len(line) < 2100, f"seed {seed}: {line!r}"
        (tmp_path / name).write_text(content)
    assert archive.scan().unusable is None


def header(shape, *, dtype=np.int16, offset=352.0, scale=(1.0, 0.0)):
    """A NIfTI header that claims this, with its four empty bytes of extensions."""
    made = nib.Nifti1Header()
    made.set_data_dtype(dtype)
    made["dim"][: len(shape) + 1] = (len(shape), *shape)
    made["pixdim"][1:4] = 1
    made["sform_code"] = 1
    made["srow_x"], made["srow_y"], made["srow_z"] = np.eye(4)[:3]
    made["magic"] = b"n+1"
    made["vox_offset"], made["scl_slope"], made["scl_inter"] = offset, *scale
    return made.binaryblock + bytes(4)


def zeros_packed(head, size):
    """gzip data of a head and very many zeros, packed without holding them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(head)]
    block = bytes(2**20)
    parts += [packer.compress(block) for _ in range(size // len(block))]
    return b"".join([*parts, packer.flush()])


NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 512 512 200\nencoding: gzip\nspace: RAS\n\n"
BOMBS = {
    "zeros beyond the voxels.nii.gz": lambda: zeros_packed(header((4, 4, 3)), 2**26),
    "more zeros than allowed.nii.gz": lambda: zeros_packed(header((512, 512, 200)), 2**27),
    "a header alone.nii.gz": lambda: gzip.compress(header((8000, 8000, 5), dtype=np.uint8)),
    "a header that is not packed.nii": lambda: header((512, 512, 30)),
    "voxels far behind.nii.gz": lambda: zeros_packed(header((4, 4, 3), offset=1e9), 2**26),
    "voxels far behind.nii": lambda: header((4, 4, 3), offset=1e9) + bytes(96),
    "voxels nowhere.nii": lambda: header((4, 4, 3), offset=np.nan) + bytes(96),
    "voxels in infinity.nii.gz": lambda: gzip.compress(header((4, 4, 3), offset=np.inf) + bytes(96)),
    "wide voxels.nii": lambda: header((512, 512, 10), dtype=np.float64) + bytes(512 * 512 * 80),
    "one large slice.nii.gz": lambda: zeros_packed(header((4096, 2048), dtype=np.uint8, scale=(2.0, 1.0)), 2**23),
    "zeros.nrrd": lambda: NRRD.encode() + zeros_packed(b"", 2**27),
    "many keys.nrrd": lambda: NRRD[:-1].encode() + b"".join(b"k%d:=v\n" % n for n in range(10_000)) + b"\n" + bytes(99),
    "no end.nrrd": lambda: NRRD[:-1].encode() + b"# " + b"x" * 2**21,
    "huge sizes.nrrd": lambda: NRRD.replace("512 512 200", "9" * 4000 + " 5 5").encode(),
}


@pytest.mark.parametrize("name", BOMBS)
def test_no_file_costs_more_memory_than_allowed(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    for work in (lambda: read_volume(path, max_bytes=LIMIT), lambda: read_label(path, max_bytes=LIMIT)):
        with within(2 * LIMIT + BESIDE):
            only_input_errors(work, seed=name)


def test_an_upload_of_another_shape_costs_nothing(tmp_path):
    path = tmp_path / "upload.nii.gz"
    path.write_bytes(zeros_packed(header((512, 512, 400), dtype=np.uint8), 2**27))
    assert path.stat().st_size < 2**20
    with within(2**20), pytest.raises(InputError, match="has 512 x 512 x 400 voxels, its image 512 x 512 x 30"):
        read_label(path, shape=(512, 512, 30))


def test_a_bad_file_does_not_keep_the_others_out(tmp_path, monkeypatch):
    label = LabelMap.background(Geometry.of((7, 6, 5), AFFINE))
    for name in ("good.nii", "bad.nii"):
        write_label(tmp_path / name, label)
    (tmp_path / "nan.nii").write_bytes(header((4, 4, 3), offset=np.nan) + bytes(96))
    (tmp_path / "sizes.nrrd").write_bytes(b"NRRD0004\ntype: short\ndimension: 3\nsizes:\nencoding: raw\n\n")
    (tmp_path / "labels" / "final").mkdir(parents=True)
    write_label(tmp_path / "labels" / "final" / "bad.nii", label)
    (tmp_path / "labels" / "final" / "bad.json").write_text("[" * 100_000)
    rows = "".join(f"{case_id},0,0,1\n" for case_id in ("good", "nan", "sizes"))
    (tmp_path / "image_labels.csv").write_text(f"case_id,slice,{','.join(CLASSES)}\n{rows}")
    archive = FolderArchive(tmp_path, CLASSES)
    scan = archive.scan()
    assert [case.case_id for case in scan.cases] == ["bad", "good", "nan", "sizes"] and scan.unusable is None
    assert [(line.file, line.kind) for line in scan.set_aside] == [
        ("labels/final/bad.json", "row"),
        ("image_labels.csv line 3", "row"),
        ("image_labels.csv line 4", "row"),
    ]
    for case_id, message in (("nan", "begin at byte nan"), ("sizes", "is no NRRD image")):
        with pytest.raises(InputError, match=message):
            archive.read_volume(case_id)


@pytest.mark.parametrize(
    "raised", [MemoryError(), RecursionError("deep"), IndexError("3"), AssertionError(), OSError(5)]
)
def test_whatever_a_reader_raises_concerns_its_file(tmp_path, monkeypatch, raised):
    def refuse(*_):
        raise raised

    write_label(tmp_path / "a.nii", LabelMap.background(Geometry.of((7, 6, 5), AFFINE)))
    monkeypatch.setattr("recursive_expand.archives.nifti._parse", refuse)
    for read in (read_volume, read_geometry, read_label):
        with pytest.raises(InputError, match=r"^a.nii: (cannot be read|needs more memory)"):
            read(tmp_path / "a.nii")
    assert read_info(tmp_path / "a.nii") == {}


def test_control_characters_of_names_never_reach_a_line(tmp_path):
    (tmp_path / "a\x1b[2Jb.nii.gz").write_bytes(b"")
    (tmp_path / os.fsdecode(b"c\xff.nii.gz")).write_bytes(b"")
    write_label(tmp_path / "d.nii", LabelMap.background(Geometry.of((7, 6, 5), AFFINE)))
    (tmp_path / "cases.csv").write_bytes(b"case_id,role\nd\x1b]0;x\x07,test\n\xe2\x80\xaed,test\n")
    lines = [str(line) for line in FolderArchive(tmp_path, CLASSES).scan().set_aside]
    assert len(lines) == 4 and all(line.isprintable() for line in lines)
    with pytest.raises(InputError, match=r"^a\\x1b\[2Jb\.nii\.gz: is empty"):
        read_volume(tmp_path / "a\x1b[2Jb.nii.gz")
