// What is asked of OHIF: open a study, show a series, draw a proposal on its images.

import { colourOf } from "../../review/files/drawing.js";
import { Frames } from "./frames.js";
import { isRegular } from "./resampling.js";

const LABELMAP = "Labelmap";
const PATIENCE = 60000;
// How long OHIF has to show a series by itself, stays on a slice that it was sent to, and may yet change its mind.
const SETTLED = 1500;
const STEADY = 150;
const OWN_MIND = 3000;

// The proposal cannot be shown as it is; the sentence is for the reader.
export class NotShown extends Error {}

async function until(condition, what) {
  const ends = performance.now() + PATIENCE;
  for (;;) {
    const found = condition();
    if (found) return found;
    if (performance.now() > ends) throw new NotShown(`${what} within ${PATIENCE / 1000} seconds.`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const rgba = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)).concat(255);

export class Viewer {
  constructor(servicesManager) {
    this.servicesManager = servicesManager;
    const { displaySetService } = servicesManager.services;
    this.frames = new Frames(displaySetService);
    displaySetService.subscribe(displaySetService.EVENTS.DISPLAY_SETS_ADDED, ({ displaySetsAdded }) => {
      for (const each of displaySetsAdded) each.isReconstructable &&= isRegular(each);
    });
    this.shown = null;
    this.touched = false;
    for (const name of ["wheel", "pointerdown", "keydown"]) addEventListener(name, () => (this.touched = true), true);
  }

  get services() {
    return this.servicesManager.services;
  }

  get onWorkList() {
    return !new URLSearchParams(location.search).has("StudyInstanceUIDs");
  }

  // Whether what `show` showed is on the screen still.
  get isShown() {
    const { viewport, images } = this.shown;
    return viewport.element.isConnected && images.includes(viewport.getCurrentImageId());
  }

  // Open an item's series with its proposal; `onSlice` is told each slice number that is seen.
  async show(item, overlay, classes, display, onSlice) {
    this.hide();
    this._openStudy(overlay.study);
    const displaySet = await until(() => this.frames.displaySet(overlay.series, overlay.images), "The PACS did not send this study");
    const viewport = await this._viewport(displaySet);
    const images = this._images(overlay, displaySet);
    const segmentationId = `proposal-${item.proposal}-${item.case_id}`;
    const first = overlay.planes[0]?.number ?? 0;
    this.touched = false;
    await this._goTo(viewport, images[first]);
    const { Events } = window.cornerstone.Enums;
    const voiRange = window.cornerstone.utilities.windowLevel.toLowHighRange(display.width, display.level);
    const began = performance.now();
    const mayInsist = () => !this.touched && performance.now() - began < OWN_MIND;
    const onWindow = ({ detail }) => {
      const other = detail.range.lower !== voiRange.lower || detail.range.upper !== voiRange.upper;
      if (other && mayInsist()) viewport.setProperties({ voiRange });
    };
    const onImage = () => {
      if (this.slice !== first && mayInsist()) this._jump(viewport, images[first]);
      else onSlice(this.slice);
    };
    viewport.element.addEventListener(Events.VOI_MODIFIED, onWindow);
    viewport.setProperties({ voiRange });
    await this._draw(segmentationId, viewport, displaySet, images, overlay, classes, `Proposal of round ${item.round}`);
    // On a slow machine OHIF has zoomed into nowhere by now.
    viewport.resetCamera();
    viewport.render();
    viewport.element.addEventListener(Events.STACK_NEW_IMAGE, onImage);
    const stop = () => {
      viewport.element.removeEventListener(Events.VOI_MODIFIED, onWindow);
      viewport.element.removeEventListener(Events.STACK_NEW_IMAGE, onImage);
    };
    this.shown = { viewport, images, segmentationId, stop };
    onSlice(this.slice);
  }

  // OHIF goes to a slice of its own once or twice after it has shown a series: go to ours until it stays there.
  async _goTo(viewport, imageId) {
    await window.cornerstone.imageLoader.loadAndCacheImage(imageId);
    let since = null;
    await until(() => {
      const there = viewport.getCornerstoneImage()?.imageId === imageId;
      if (!there) {
        since = null;
        this._jump(viewport, imageId);
      } else since ??= performance.now();
      return there && performance.now() - since > STEADY;
    }, "OHIF did not show the slice");
  }

  // As OHIF's own scrolling: setImageIdIndex alone would leave its "Loading" on the screen.
  _jump(viewport, imageId) {
    window.cornerstone.utilities.jumpToSlice(viewport.element, { imageIndex: viewport.getImageIds().indexOf(imageId) });
  }

  // Take the proposal that is shown away.
  hide() {
    if (!this.shown) return;
    this.shown.stop();
    try {
      this.services.segmentationService.remove(this.shown.segmentationId);
    } catch {
      // Its viewport went with the study.
    }
    this.shown = null;
  }

  // Number of the slice on the screen, as verdicts count it; -1 for none of the case.
  get slice() {
    if (!this.shown) return -1;
    const imageId = this.shown.viewport.getCurrentImageId();
    return imageId ? this.shown.images.indexOf(imageId) : -1;
  }

  // Where a slice is in the stack, from 1: as OHIF counts on the screen.
  placeOf(number) {
    return this.shown.viewport.getImageIds().indexOf(this.shown.images[number]) + 1;
  }

  get element() {
    return this.shown.viewport.element;
  }

  get facts() {
    const { lower, upper } = this.shown.viewport.getProperties().voiRange ?? { lower: 0, upper: 1 };
    const { windowWidth, windowCenter } = window.cornerstone.utilities.windowLevel.toWindowLevel(lower, upper);
    const zoom = this.shown.viewport.getZoom();
    return { window_level: windowCenter, window_width: Math.max(1, windowWidth), zoom: zoom > 0 ? zoom : 1 };
  }

  // Without loading the page anew: OHIF's router follows the address.
  _openStudy(study) {
    const now = new URLSearchParams(location.search);
    if (location.pathname.endsWith("/viewer") && now.get("StudyInstanceUIDs") === study) return;
    history.pushState(null, "", new URL(`/ohif/viewer?StudyInstanceUIDs=${study}`, location.href));
    dispatchEvent(new PopStateEvent("popstate", { state: null }));
  }

  // The viewport that shows a display set: the one that OHIF chose for it, else the active one.
  async _viewport(displaySet) {
    const { viewportGridService, cornerstoneViewportService } = this.services;
    const uid = displaySet.displaySetInstanceUID;
    const began = performance.now();
    let asked = false;
    const find = () => {
      const { viewports, activeViewportId } = viewportGridService.getState();
      const [viewportId] = [...viewports].find(([, each]) => each.displaySetInstanceUIDs?.includes(uid)) ?? [];
      if (viewportId) {
        const viewport = cornerstoneViewportService.getCornerstoneViewport(viewportId);
        const ids = viewport?.getImageIds?.() ?? [];
        const ready = ids.length === displaySet.imageIds?.length && ids.includes(viewport.getCurrentImageId());
        return ready && displaySet.imageIds.includes(ids[0]) ? viewport : null;
      }
      if (!asked && activeViewportId && performance.now() - began > SETTLED) {
        asked = true;
        viewportGridService.setDisplaySetsForViewports([{ viewportId: activeViewportId, displaySetInstanceUIDs: [uid] }]);
      }
      return null;
    };
    const viewport = await until(find, "OHIF did not show the series");
    if (!viewport.setImageIdIndex) throw new NotShown("This view resamples the images; open the study in the basic viewer.");
    return viewport;
  }

  // OHIF's image ids by slice number. A proposal is shown on all of its images, or not at all.
  _images(overlay, displaySet) {
    const byName = new Map(displaySet.imageIds.map((imageId) => [imageId.slice(imageId.indexOf("/instances/")), imageId]));
    const images = overlay.images.map(([uid, frame]) => byName.get(`/instances/${uid}/frames/${frame}`));
    if (images.includes(undefined) || byName.size !== images.length) {
      throw new NotShown("The PACS now has other images of this series than the proposal was made from; it is left for the next round.");
    }
    return images;
  }

  // By arrays: OHIF's import of a DICOM SEG throws on empty segments.
  async _draw(segmentationId, viewport, displaySet, images, overlay, classes, label) {
    const { segmentationService } = this.services;
    const { cornerstone, cornerstoneTools } = window;
    const segments = Object.fromEntries(classes.map((name, k) => [k + 1, { segmentIndex: k + 1, label: name, locked: true, active: k === 0 }]));
    if (segmentationService.getSegmentation(segmentationId)) segmentationService.remove(segmentationId);
    await segmentationService.createLabelmapForDisplaySet(displaySet, { segmentationId, label, segments });
    const { representationData } = segmentationService.getSegmentation(segmentationId);
    const { imageIds } = representationData[LABELMAP];
    const labelmapOf = new Map(displaySet.imageIds.map((imageId, at) => [imageId, imageIds[at]]));
    for (const { number, runs } of overlay.planes) {
      const image = cornerstone.cache.getImage(labelmapOf.get(images[number]));
      const pixels = image.getPixelData();
      if (pixels.length !== overlay.rows * overlay.columns) throw new NotShown("The images have another size than the proposal.");
      for (const [first, length, value] of runs) pixels.fill(value, first, first + length);
    }
    await segmentationService.addSegmentationRepresentation(viewport.id, { segmentationId, type: LABELMAP });
    classes.forEach((name, k) => segmentationService.setSegmentColor(viewport.id, segmentationId, k + 1, rgba(colourOf(k + 1))));
    await until(() => viewport.getActors().some((actor) => actor.representationUID?.startsWith(segmentationId)), "OHIF did not draw the proposal");
    cornerstoneTools.segmentation.triggerSegmentationEvents.triggerSegmentationDataModified(segmentationId);
    await new Promise((resolve) => {
      viewport.element.addEventListener(cornerstone.Enums.Events.IMAGE_RENDERED, resolve, { once: true });
      viewport.render();
    });
  }
}
