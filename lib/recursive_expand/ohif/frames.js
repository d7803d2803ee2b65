// Multi-frame images, of which OHIF makes a display set each, and whose first frames it tells wrong things of.

const FIRST = /\/frames\/1$/;

export class Frames {
  constructor(displaySetService) {
    this.displaySetService = displaySetService;
    this.firsts = new Set();
    displaySetService.subscribe(displaySetService.EVENTS.DISPLAY_SETS_ADDED, ({ displaySetsAdded }) => {
      for (const { isMultiFrame, images } of displaySetsAdded) if (isMultiFrame) this.firsts.add(images[0].imageId);
    });
    // OHIF knows a first frame as the whole image, and answers with the rescaling and place of whichever frame was asked for last. 10000: before it.
    const { metaData } = window.cornerstone;
    const get = (type, imageId) => (this.firsts.has(imageId) ? metaData.get(type, imageId.replace(FIRST, "/frames/01")) : undefined);
    metaData.addProvider(get, 10000);
  }

  // The display set of a series that has all of these images, [SOP Instance UID, frame] by slice number; made where OHIF has none.
  displaySet(series, images) {
    const found = this.displaySetService.getActiveDisplaySets().filter((each) => each.SeriesInstanceUID === series && each.images?.length);
    if (found.length < 2) return found[0];
    return found.find((each) => each.isCompositeStack) ?? this._joined(found, images);
  }

  // Its images are the frames in the slices' order.
  _joined(displaySets, images) {
    const byUid = new Map(displaySets.flatMap((each) => each.images).map((instance) => [instance.SOPInstanceUID, instance]));
    const frames = images
      .filter(([uid]) => byUid.has(uid))
      .map(([uid, frame]) => {
        const imageId = { value: byUid.get(uid).imageId.replace(FIRST, `/frames/${frame}`) };
        return Object.create(byUid.get(uid), { imageId, NumberOfFrames: { value: 1 } });
      });
    const [{ constructor: ImageSet, getNumImages, instances, instance, imageIds, ...attributes }] = displaySets;
    const joined = new ImageSet(frames);
    joined.setAttributes({
      ...attributes, displaySetInstanceUID: joined.uid, numImageFrames: frames.length,
      isCompositeStack: true, isMultiFrame: false, isReconstructable: false, excludeFromThumbnailBrowser: true,
    });
    this.displaySetService.addDisplaySets(joined);
    return joined;
  }
}
