"""A person before OHIF in headless Chromium, and what is on the screen."""

from __future__ import annotations

import io
import json
import time

import numpy as np
from PIL import Image

SESSION = "signed-in"
"""What a reverse proxy's cookie holds."""
VOXELS = """(segmentationId) => {
  const { representationData } = services.segmentationService.getSegmentation(segmentationId);
  const { imageIds, referencedImageIds } = representationData.Labelmap;
  const voxels = (imageId) => Array.from(cornerstone.cache.getImage(imageId).getPixelData());
  return imageIds.map((imageId, at) => [referencedImageIds[at], voxels(imageId)]);
}"""
SHOWN = """() => {
  const { segmentationService, cornerstoneViewportService, viewportGridService } = services;
  const [[viewportId, { displaySetInstanceUIDs }]] = viewportGridService.getState().viewports;
  const viewport = cornerstoneViewportService.getCornerstoneViewport(viewportId);
  const image = viewport.getCornerstoneImage();
  const drawn = segmentationService.getSegmentationRepresentations(viewportId);
  return {
    image: image.imageId,
    pixels: Array.from(image.getPixelData()),
    type: viewport.type,
    voi: viewport.getProperties().voiRange,
    zoom: viewport.getZoom(),
    resampled: services.displaySetService.getDisplaySetByUID(displaySetInstanceUIDs[0]).isReconstructable,
    segmentations: drawn.map((one) => one.segmentationId),
  };
}"""


def name_of(image_id):
    """(SOP Instance UID, frame)."""
    uid, _, frame = image_id.split("/instances/")[1].split("/")
    return uid, int(frame)


class Radiologist:
    """A person before OHIF."""

    def __init__(self, browser, server, *, name="ann", routes=()):
        self.context = browser.new_context(viewport={"width": 1400, "height": 860})
        self.context.add_cookies([{"name": "session", "value": SESSION, "url": server.url}])
        if name:
            self.context.add_init_script(f"localStorage.setItem('recursive-desk-reader', {json.dumps(name)})")
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
        """What is drawn, (rows * columns) by SOP Instance UID and frame."""
        (segmentation,) = self.page.evaluate(SHOWN)["segmentations"]
        return {name_of(image): voxels for image, voxels in self.page.evaluate(VOXELS, segmentation)}

    def state(self):
        return self.page.locator("[data-cy=recursiveState]").text_content()

    def says(self, words):
        """Wait for a line that has these words; all of it."""
        line = self.page.locator(".recursive-line", has_text=words)
        line.wait_for(timeout=90_000)
        return line.text_content()

    def sees(self, colour):
        picture = np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB"), int)
        return bool((np.abs(picture - colour).max(axis=2) < 12).sum() > 50)
