"""OHIF itself in headless Chromium over a real Orthanc: next, the overlay, verdicts, undo, and a module that fails."""

from __future__ import annotations

import monailabel.app as monailabel_server
import pydicom
import pytest
from monailabel.config import settings
from starlette.responses import JSONResponse

from recursive_expand.phantom import CLASSES

from .conftest import SERIES, SIZE
from .radiologist import SESSION, SHOWN, name_of

ORANGE = (230, 159, 0)
"""The first class's colour at the review desk."""


@pytest.fixture
def server(over_pacs, serve_app):
    """As behind a reverse proxy that lets nothing pass without its cookie, be it a page, a module or a frame."""

    async def gate(scope, receive, send):
        signed_in = SESSION in dict(scope["headers"]).get(b"cookie", b"").decode()
        await (monailabel_server.app if signed_in else JSONResponse({}, 401))(scope, receive, send)

    started = serve_app(gate)
    yield started
    started.stop()


@pytest.fixture
def shows_the_proposal(orthanc, proposed_mask):
    """Whether the drawn voxels are the frozen ones, image by image, and the image is the PACS's."""

    def _check(person, name):
        drawn, (_, native) = person.voxels(), proposed_mask(name)
        images = orthanc.images[name]
        assert len(drawn) == len(images)
        for number, (uid, frame, _) in enumerate(images):
            assert drawn[uid, frame] == native[:, :, number].T.ravel().tolist()
        shown = person.page.evaluate(SHOWN)
        assert (shown["type"], shown["zoom"]) == ("stack", pytest.approx(1))
        # Whether OHIF offers its MPR: not for what is tilted or has a gap, nor for a stack that was made here.
        assert shown["resampled"] is (name not in ("five", "two slices", "parts"))
        # Level 40, width 80, as PS3.3 C.11.2.1.2 has it.
        assert shown["voi"] == {"lower": 0, "upper": 79}
        uid, frame, file = images[min(SERIES[name][1], default=0)]
        assert name_of(shown["image"]) == (uid, frame)
        stored = pydicom.dcmread(file).pixel_array.reshape(-1, SIZE, SIZE)[frame - 1].astype(int)
        assert shown["pixels"] == (stored - 1024).ravel().tolist()

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
    assert reader.state() == "Round 0 · 8 to judge"
    assert reader.page.locator(".recursive-legend").text_content() == "".join(CLASSES) + "Marked: slice 2, 4"
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

    for name in ("deflated", "big-endian", "jpeg 2000", "frames", "parts"):
        assert names[case_id] == name
        shows_the_proposal(reader, name)
        if name != "parts":
            reader.page.locator("[data-cy=recursiveNext]").click()
            case_id = reader.painted(case_id)

    reader.page.keyboard.press("Shift+U")
    assert reader.painted(case_id) == judged
    shows_the_proposal(reader, "two slices")
    reader.sent()
    assert over_pacs.ledger.judgements.of_case(judged) == []

    # What is not on the screen any more is not judged.
    reader.page.locator("[data-cy=return-to-work-list]").click()
    assert reader.says("Next leads back to it")
    reader.page.keyboard.press("Shift+A")
    assert reader.begin() == judged
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


def test_who_is_signed_in_judges_in_that_name_and_who_may_only_look_is_told(radiologist, over_pacs, signed_in, orthanc):
    signed_in("dr.bob", settings.MONAI_LABEL_AUTH_ROLE_USER)
    reader = radiologist(name=None)
    reader.page.get_by_text("you may look, not judge").wait_for(timeout=60_000)
    reader.page.get_by_role("button", name="Next proposal").click()
    assert reader.says("dr.bob") == "You are signed in as dr.bob, who may look at the studies and judge none."

    signed_in("dr.ann", settings.MONAI_LABEL_AUTH_ROLE_USER, settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR)
    case_id = reader.begin()
    assert case_id == orthanc.cases["five"]
    reader.page.keyboard.press("Shift+A")
    reader.painted(case_id)
    reader.sent()
    (verdict,) = over_pacs.ledger.judgements.of_case(case_id)
    assert (verdict.reviewer, verdict.client, verdict.authenticated) == ("dr.ann", "ohif", True)
    assert reader.errors == []
