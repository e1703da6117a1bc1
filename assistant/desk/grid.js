// A grid of voxels in space: shape [x, y, z] and the affine from index to RAS+ millimetres (rows of four numbers).
// And the three planes, of which everything in the viewer speaks by name.
(() => {
  "use strict";

  // u: the axis of the columns, v: of the rows (upwards), w: through the plane
  const PLANES = { axial: { u: 0, v: 1, w: 2 }, coronal: { u: 0, v: 2, w: 1 }, sagittal: { u: 1, v: 2, w: 0 } };
  const ENDS = [["L", "R"], ["P", "A"], ["I", "S"]]; // the low and the high end of each axis

  function inverse(affine) {
    const [[p, q, r, t], [s, u, v, w], [x, y, z, k]] = affine;
    const d = p * (u * z - v * y) - q * (s * z - v * x) + r * (s * y - u * x);
    const m = [
      [(u * z - v * y) / d, (r * y - q * z) / d, (q * v - r * u) / d],
      [(v * x - s * z) / d, (p * z - r * x) / d, (r * s - p * v) / d],
      [(s * y - u * x) / d, (q * x - p * y) / d, (p * u - q * s) / d],
    ];
    return (mm) => m.map((row) => row[0] * (mm[0] - t) + row[1] * (mm[1] - w) + row[2] * (mm[2] - k));
  }

  class Grid {
    constructor(shape, affine) {
      this.shape = shape;
      this.affine = affine.slice(0, 3);
      this.index = inverse(affine); // RAS+ mm -> index, not rounded
      this.spacing = [0, 1, 2].map((c) => Math.hypot(...this.affine.map((row) => row[c])));
    }

    world(ijk) {
      return this.affine.map((row) => row[0] * ijk[0] + row[1] * ijk[1] + row[2] * ijk[2] + row[3]);
    }

    clamp(ijk) { return ijk.map((v, k) => Math.min(this.shape[k] - 1, Math.max(0, v))); }

    // The voxel a place lies in, within the grid.
    voxel(mm) { return this.clamp(this.index(mm).map(Math.round)); }

    holds(ijk) { return ijk.every((v, k) => v >= 0 && v < this.shape[k]); }
  }

  // Does the screen's column run against the axis? The patient's right is on the left in the radiological convention,
  // and a sagittal plane then looks to the left.
  const flipped = (axis, radiological) => axis < 2 && radiological;

  globalThis.DeixisGrid = { Grid, PLANES, ENDS, flipped };
})();
