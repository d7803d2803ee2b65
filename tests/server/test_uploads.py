"""uploads.py: a client's file is there while it is needed, and then gone."""

import asyncio
import io

import pytest
from fastapi import HTTPException, UploadFile

from recursive_expand.errors import InputError
from recursive_expand.server.uploads import SentOnce, is_upload, uploaded


def upload(name="scan.nii.gz", content=b"abc"):
    return UploadFile(io.BytesIO(content), filename=name)


def test_the_file_lives_as_long_as_the_block(tmp_path):
    with uploaded(upload(), folder=tmp_path) as path:
        assert path.read_bytes() == b"abc"
        assert path.name == "upload.nii.gz"
        assert is_upload(str(path))
        assert not is_upload(str(path.parent))
        kept = path
    assert not is_upload(kept)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), uploaded(upload(), folder=tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_file_over_the_limit_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(HTTPException, match="413"), uploaded(upload(content=b"x" * 11), limit=10, folder=tmp_path):
        pytest.fail("taken")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("1.2.840.113.nii.gz", "upload.nii.gz"),
        ("a.NRRD", "upload.NRRD"),
        ("../../etc/x.nii", "upload.nii"),
        ("a.exe", "upload.exe"),
        ("a.b/c", "upload"),
        ("a.verylongsuffix", "upload"),
        ("", "upload.nii.gz"),
        (None, "upload.nii.gz"),
    ],
)
def test_only_the_extension_of_the_sender_s_name_is_used(tmp_path, name, kept):
    with uploaded(upload(name), folder=tmp_path) as path:
        assert path.name == kept
        assert path.parent.parent == tmp_path


@pytest.mark.parametrize("name", ["a" * 256, "ü" * 128, "a\x00.nii", "a\n.nii", "\ud800" * 90])
def test_a_name_that_no_file_could_have_is_refused(name):
    with pytest.raises(InputError, match="no usable file name"), uploaded(upload(name)):
        pytest.fail("taken")


@pytest.mark.parametrize("leaves", [False, True])
def test_a_temporary_answer_is_removed_when_it_is_sent_and_when_it_cannot_be(tmp_path, leaves):
    path = tmp_path / "dataset.zip"
    path.write_bytes(b"zip")
    sent = []

    async def send(message):
        if leaves:
            raise OSError("the client is gone")
        sent.append(message.get("body", b""))

    async def receive():
        await asyncio.sleep(60)

    answer = SentOnce(path)({"type": "http", "method": "GET", "headers": []}, receive, send)
    if leaves:
        with pytest.raises(OSError, match="gone"):
            asyncio.run(answer)
    else:
        asyncio.run(answer)
        assert b"".join(sent) == b"zip"
    assert not path.exists()
