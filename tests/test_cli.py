"""cli.py: commands reach the importers, and failures are one line."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from recursive_expand.cli import app


@pytest.fixture
def run(tmp_path):
    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def pictures(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / folder / "a.png")
    return tmp_path


def slices(folder, *more):
    window = ("--level", 40, "--width", 120)
    return ("import", "slices", folder / "images", "--studies", folder / "studies", *window, *more)


def test_help_names_the_commands(run):
    commands = run("--help").output
    assert "import" in commands and "experiment" in commands
    assert "study" not in commands  # the name of 0.1.0 still works, unseen
    names = ("dicom", "slices", "physionet", "rsna", "cq500", "bhsd", "hemseg", "folder")
    assert all(name in run("import", "--help").output for name in names)


def test_slices_are_imported_and_told(run, pictures):
    result = run(*slices(pictures, "--masks", pictures / "masks", "--class", "subdural"))
    assert result.exit_code == 0
    assert "imported a: 8 x 8 pixels, pixel" in result.output
    assert "1 imported, 0 already there, 0 lines left out" in result.output
    assert (pictures / "studies" / "labels" / "final" / "a.nii.gz").exists()
    assert "skipped a" in run(*slices(pictures, "--masks", pictures / "masks", "--class", "subdural")).output


def test_class_values_and_colours_are_parsed(run, pictures):
    values = ("--masks", pictures / "masks", "--class-values", "255=epidural, 3=subdural", "--role", "test")
    assert run(*slices(pictures, *values)).exit_code == 0
    assert (pictures / "studies" / "cases.csv").read_text() == "case_id,role\na,test\n"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "--role pixel: needs masks"),
        (("--role", "pixl"), "--role 'pixl': is not known"),
        (("--class-values", "epidural"), "is not VALUE=NAME"),
        (("--class-values", "0=epidural"), "is not VALUE=NAME"),
        (("--class-values", "1=epidural,1=subdural"), "is not VALUE=NAME"),
        (("--mask-colour", "1,2"), "is not R,G,B"),
        (("--mask-colour", "1,2,300"), "is not R,G,B"),
        (("--task", "missing.yaml"), "missing.yaml: not readable"),
    ],
)
def test_wrong_options_are_one_line_without_a_traceback(run, pictures, more, message):
    result = run(*slices(pictures, *more))
    assert result.exit_code == 2
    assert message in result.output and "Traceback" not in result.output
    assert not (pictures / "studies").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("physionet",), "holds neither ct_scans"),
        (("physionet", "--multi", "both"), "'both' is not"),
        (("rsna", "--as", "exams"), "--as 'exams': is not known; choose slices or series"),
        (("rsna", "--single-class", "--per-class", 1497, "--none", 300, "--seed", 1), "does not hold stage_2_train/"),
        (("cq500", "--patients", "first"), "--patients 'first': is no patient's number"),
        (("cq500",), "reads.csv: cannot be read"),
        (("bhsd", "--role", "pixl"), "--role 'pixl': is not known"),
        (("bhsd",), "does not hold label_192/images"),
        (("hemseg", "--rsna", "."), "holds no annotion_file_info"),
        (("folder", "--role", "image", "--table", "missing.csv"), "missing.csv: cannot be read"),
    ],
)
def test_each_importer_is_reached_and_says_what_is_wrong(run, tmp_path, arguments, message):
    name, *options = arguments
    (tmp_path / "src").mkdir()
    result = run("import", name, tmp_path / "src", "--studies", tmp_path / "studies", *options)
    assert result.exit_code == 2
    assert message in result.output and "Traceback" not in result.output
    assert not (tmp_path / "studies").exists()


def test_a_folder_is_imported_and_the_report_is_written(run, pictures):
    run(*slices(pictures, "--masks", pictures / "masks", "--class", "subdural"))
    other = pictures / "other"
    result = run(
        *("import", "folder", pictures / "studies", "--studies", other, "--role", "pixel"),
        *("--masks", pictures / "studies" / "labels" / "final"),
    )
    assert result.exit_code == 0, result.output
    assert "imported a: 8 x 8 x 1 voxels; pixel, subdural in 1 slices" in result.output
    assert "imported,a,a.nii.gz" in (other / "import-folder.csv").read_text()


def test_an_import_of_nothing_fails_and_says_why(run, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run("import", "dicom", tmp_path / "empty", "--studies", tmp_path / "studies")
    assert result.exit_code == 1
    assert "left out empty: holds no CT image" in result.output


def test_a_missing_source_is_named(run, tmp_path):
    result = run("import", "dicom", tmp_path / "nowhere", "--studies", tmp_path / "studies")
    assert result.exit_code == 2 and "nowhere: is no folder" in result.output


@pytest.mark.parametrize("name", ["experiment", "study"])
def test_a_comparison_takes_two_presets(run, tmp_path, name):
    config = tmp_path / "experiment.yaml"
    config.write_text("{studies: {phantom: {}}, presets: [paper], output: out}")
    result = run(name, "compare", config)
    assert result.exit_code == 2
    assert "names one preset" in result.output
    assert not (tmp_path / "out").exists()
