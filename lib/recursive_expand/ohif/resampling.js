// Which series OHIF may resample (MPR, 3D): it would show tilted ones as if they were upright.

// As the server remarks on them (cases.py): in degrees; in mm, between the longest step and the shortest.
const TILTED = 0.1;
const UNEVEN = 0.05;

const dot = (a, b) => a.reduce((sum, each, at) => sum + each * b[at], 0);
const minus = (a, b) => a.map((each, at) => each - b[at]);

// Where the slices of a display set lie: its images, or the frames of its one image (PS3.3 C.7.6.2, C.7.6.16.2.3).
function planes({ images }) {
  const [image] = images;
  const groups = images.length === 1 && image.PerFrameFunctionalGroupsSequence;
  const placed = groups ? Array.from(groups, (group) => group.PlanePositionSequence?.[0]) : images;
  const shared = image.SharedFunctionalGroupsSequence?.[0] ?? {};
  const directed = groups ? (shared.PlaneOrientationSequence ?? groups[0].PlaneOrientationSequence)?.[0] : image;
  return {
    positions: placed.map((plane) => plane?.ImagePositionPatient?.map(Number)),
    orientation: directed?.ImageOrientationPatient?.map(Number),
  };
}

// Whether slices lie straight above each other, at one distance.
export function isRegular(displaySet) {
  const { positions, orientation } = planes(displaySet);
  if (!orientation || positions.includes(undefined)) return false;
  const [a, b, c, d, e, f] = orientation;
  const normal = [b * f - c * e, c * d - a * f, a * e - b * d];
  const sorted = positions.toSorted((one, other) => dot(one, normal) - dot(other, normal));
  const steps = sorted.slice(1).map((position, at) => minus(position, sorted[at]));
  if (!steps.length) return false;
  const heights = steps.map((step) => dot(step, normal));
  const upright = steps.every((step, at) => heights[at] >= Math.hypot(...step) * Math.cos((TILTED * Math.PI) / 180));
  return upright && Math.max(...heights) - Math.min(...heights) <= UNEVEN;
}
