"""OHIF itself in headless Chromium over a real Orthanc: next, the overlay, verdicts, undo, and a module that fails."""

from __future__ import annotations

import io
import json
import time

import numpy as np
import pydicom
import pytest
from PIL import Image

from recursive_expand.phantom import CLASSES

from .conftest import SERIES

VOXELS = """(segmentationId) => {
  const { representationData } = services.segmentationService.getSegmentation(segmentationId);
  const { imageIds, referencedImageIds } = representationData.Labelmap;
  const uid = (imageId) => cornerstone.metaData.get("instance", imageId).SOPInstanceUID;
  const voxels = (imageId) => Array.from(cornerstone.cache.getImage(imageId).getPixelData());
  return imageIds.map((imageId, at) => [uid(referencedImageIds[at]), voxels(imageId)]);
}"""
SHOWN = """() => {
  const { segmentationService, cornerstoneViewportService, viewportGridService } = services;
  const [viewportId] = viewportGridService.getState().viewports.keys();
  const viewport = cornerstoneViewportService.getCornerstoneViewport(viewportId);
  const image = viewport.getCornerstoneImage();
  const drawn = segmentationService.getSegmentationRepresentations(viewportId);
  return {
    image: cornerstone.metaData.get("instance", image.imageId).SOPInstanceUID,
    pixels: Array.from(image.getPixelData()),
    type: viewport.type,
    voi: viewport.getProperties().voiRange,
    segmentations: drawn.map((one) => one.segmentationId),
  };
}"""
ORANGE = (230, 159, 0)
"""The first class's colour at the review desk."""


class Radiologist:
    """A person before OHIF."""

    def __init__(self, browser, server, *, name="ann", routes=()):
        self.context = browser.new_context(viewport={"width": 1400, "height": 860})
        self.context.add_init_script(f"localStorage.setItem('recursive-desk-reader', {json.dumps(name)})")
        self.context.add_init_script("sessionStorage.setItem('investigationalUseDialog', 'hidden')")
        self.page = self.context.new_page()
        self.errors = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("response", lambda answer: answer.status >= 400 and self.errors.append(answer.url))
        for pattern, answer in routes:
            self.page.route(pattern, answer)
        self.page.goto(f"{server.url}/ohif/", wait_until="commit")

    def begin(self):
        self.page.get_by_role("button", name="Next proposal").click(timeout=60_000)
        return self.painted()

    def painted(self, before=""):
        """The case that can be judged now, once it is another than `before`."""
        ends = time.monotonic() + 90
        while (found := self.page.evaluate("document.body.dataset.painted")) in ("", None, before):
            assert time.monotonic() < ends, self.page.locator(".recursive-line").text_content()
            self.page.wait_for_timeout(50)
        return found

    def sent(self):
        ends = time.monotonic() + 30
        while self.page.evaluate("document.body.dataset.unsent") != "0":
            assert time.monotonic() < ends
            self.page.wait_for_timeout(50)

    def voxels(self):
        """What is drawn, (rows * columns) by SOP Instance UID."""
        (segmentation,) = self.page.evaluate(SHOWN)["segmentations"]
        return dict(self.page.evaluate(VOXELS, segmentation))

    def sees(self, colour):
        picture = np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB"), int)
        return bool((np.abs(picture - colour).max(axis=2) < 12).sum() > 50)


@pytest.fixture
def radiologist(browser, server):
    opened = []

    def _radiologist(**options):
        opened.append(Radiologist(browser, server, **options))
        return opened[-1]

    yield _radiologist
    for each in opened:
        each.context.close()


@pytest.fixture
def shows_the_proposal(orthanc, proposed_mask):
    """Whether the drawn voxels are the frozen ones, image by image, and the image is the PACS's."""

    def _check(person, name):
        drawn, (_, native) = person.voxels(), proposed_mask(name)
        assert drawn.keys() == set(orthanc.images[name])
        for number, uid in enumerate(orthanc.images[name]):
            assert drawn[uid] == native[:, :, number].T.ravel().tolist()
        shown = person.page.evaluate(SHOWN)
        assert shown["type"] == "stack"
        # Level 40, width 80, as PS3.3 C.11.2.1.2 has it.
        assert shown["voi"] == {"lower": 0, "upper": 79}
        assert shown["image"] == orthanc.images[name][min(SERIES[name][1], default=0)]
        file = orthanc.files[name][orthanc.images[name].index(shown["image"])]
        stored = pydicom.dcmread(file).pixel_array.astype(int)
        # OHIF's images are in HU, once it has rescaled them.
        assert shown["pixels"] in (stored.ravel().tolist(), (stored - 1024).ravel().tolist())

    return _check


def test_proposals_are_judged_by_keys_and_buttons_and_taken_back(
    radiologist, shows_the_proposal, over_pacs, orthanc, proposed_mask
):
    reader = radiologist()
    names = {case_id: name for name, case_id in orthanc.cases.items()}
    case_id = reader.begin()
    assert names[case_id] == "five"
    shows_the_proposal(reader, "five")
    assert reader.sees(ORANGE)
    assert reader.page.locator("[data-cy=recursiveState]").text_content() == "Round 0 · 6 to judge"
    assert reader.page.locator(".recursive-legend").text_content() == "".join(CLASSES)
    # What has no Shift is OHIF's, what is typed is text.
    reader.page.keyboard.press("a")
    reader.page.keyboard.press("Shift+A")
    case_id = reader.painted(case_id)
    reader.sent()
    (verdict,) = over_pacs.ledger.judgements.of_case(orthanc.cases["five"])
    assert (verdict.verdict, verdict.reviewer, verdict.client) == ("accept", "ann", "ohif")
    assert verdict.proposal_sha256 == proposed_mask("five")[0]

    assert names[case_id] == "one"
    shows_the_proposal(reader, "one")
    reader.page.keyboard.press("Shift+X")
    reader.page.get_by_role("button", name="artefact").press("2")
    case_id = reader.painted(case_id)
    reader.sent()
    (verdict,) = over_pacs.ledger.judgements.of_case(orthanc.cases["one"])
    assert (verdict.verdict, verdict.reason) == ("reject", "artefact")

    assert names[case_id] == "two slices"
    shows_the_proposal(reader, "two slices")
    reader.page.locator("[data-cy=recursiveSlice]").click()
    reader.page.locator("[data-cy=recursiveAccept]").click()
    judged, case_id = case_id, reader.painted(case_id)
    reader.sent()
    (verdict,) = over_pacs.ledger.judgements.of_case(orthanc.cases["two slices"])
    assert (verdict.verdict, verdict.rejected_slices) == ("accept", (0,))

    for name in ("deflated", "big-endian", "jpeg 2000"):
        assert names[case_id] == name
        shows_the_proposal(reader, name)
        if name != "jpeg 2000":
            reader.page.locator("[data-cy=recursiveNext]").click()
            case_id = reader.painted(case_id)

    reader.page.keyboard.press("Shift+U")
    assert reader.painted(case_id) == judged
    shows_the_proposal(reader, "two slices")
    reader.sent()
    assert over_pacs.ledger.judgements.of_case(judged) == []
    assert reader.errors == []


def test_a_proposal_that_marks_nothing_is_shown_as_that(radiologist, shows_the_proposal, orthanc, proposed_mask):
    item = {
        "case_id": orthanc.cases["none"], "proposal": proposed_mask("none")[0], "model_sha256": "m" * 64, "round": 0,
        "slices": [], "classes": [], "image_labels": {},
    }  # fmt: skip
    # The queue never serves one.
    reader = radiologist(routes=[("**/recursive/desk/items*", lambda route: route.fulfill(json=[item]))])
    reader.page.route(
        "**/recursive/desk/leases", lambda route: route.fulfill(json={"cases": {item["case_id"]: "held"}})
    )
    assert reader.begin() == orthanc.cases["none"]
    shows_the_proposal(reader, "none")
    assert reader.errors == []


def test_without_our_module_ohif_still_shows_the_studies_and_says_what_is_missing(radiologist):
    reader = radiologist(routes=[("**/recursive-expand/index.js", lambda route: route.fulfill(status=500))])
    reader.page.get_by_role("alert").wait_for(timeout=60_000)
    assert "Reload the page" in reader.page.get_by_role("alert").text_content()
    reader.page.get_by_text("SHOWN-0").first.click(timeout=60_000)
    # Only the viewer of slices as they are is offered.
    reader.page.get_by_role("button", name="Basic Viewer").click(timeout=60_000)
    reader.page.locator("canvas").first.wait_for(timeout=60_000)
    assert reader.page.get_by_text("Segmentation", exact=True).count() == 0
    assert all(each.endswith("index.js") for each in reader.errors)
