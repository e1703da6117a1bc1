"""Scans made of a few ellipsoids and tubes: a head and neck in CT, thighs with a tumour in FDG-PET.

They show how the program works with another modality where no patient's scan can come with it. They are drawings: right
in place, size and value to a few millimetres and tens of HU (Gray's Anatomy; Schneider et al., Phys. Med. Biol. 45
(2000) 459, for HU of tissues), and nothing that is measured on them says how well the program works on people.

Arrays are indexed (x, y, z) along RAS+ axes; the same seed always gives the same scan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

AIR, FAT, MUSCLE, BRAIN, BONE, SPONGY = -1000.0, -95.0, 45.0, 34.0, 950.0, 260.0  # HU


@dataclass
class Canvas:
    """voxels (X, Y, Z) float32 to draw on; x, y, z: RAS+ mm of the voxels' centres, each broadcastable to it."""

    voxels: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray

    @staticmethod
    def of(shape: tuple[int, int, int], spacing: tuple[float, float, float], value: float) -> Canvas:
        """A canvas of one value, its middle at the origin."""
        axes = [(np.arange(n, dtype=np.float32) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
        x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
        return Canvas(np.full(shape, value, np.float32), x, y, z)

    def ellipsoid(self, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
        """Which voxels lie in an ellipsoid, mm."""
        parts = [((at - c) / r) ** 2 for at, c, r in zip((self.x, self.y, self.z), centre, radii, strict=True)]
        return (parts[0] + parts[1] + parts[2]) < 1

    def tube(self, low: float, high: float, x: float, y: np.ndarray | float, rx: float, ry: float) -> np.ndarray:
        """Which voxels lie in an upright elliptic tube from z low to high; y may depend on z."""
        inside = ((self.x - x) / rx) ** 2 + ((self.y - y) / ry) ** 2 < 1
        return inside & (self.z >= low) & (self.z < high)

    def fill(self, where: np.ndarray, value: float) -> None:
        self.voxels[np.broadcast_to(where, self.voxels.shape)] = value

    def affine(self) -> np.ndarray:
        """(4, 4), index -> RAS+ mm."""
        affine = np.eye(4)
        for axis, at in enumerate((self.x, self.y, self.z)):
            line = at.ravel()
            affine[axis, axis], affine[axis, 3] = line[1] - line[0], line[0]
        return affine


def head_and_neck_ct(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """CT of a head and neck, int16 HU (112, 128, 96) at 2 x 2 x 2.5 mm, and its affine. The chin looks to +y."""
    c = Canvas.of((112, 128, 96), (2.0, 2.0, 2.5), AIR)
    rng = np.random.default_rng(seed)
    spine = -28.0 + 0.0016 * (c.z + 20) ** 2 - 8  # y of the canal, bent forwards in the neck
    # the body: head, face, neck, shoulders; a rim of fat under the skin
    def body(less: float) -> np.ndarray:
        head = c.ellipsoid((0, 0, 62), (76 - less, 96 - less, 84 - less))
        face = c.ellipsoid((0, 36, 22), (58 - less, 58 - less, 66 - less))
        neck = c.tube(-130, 40, 0, spine + 22, 58 - less, 62 - less)
        shoulders = c.ellipsoid((0, -22, -128), (150, 74 - less, 52 - less))
        return head | face | neck | shoulders

    c.fill(body(0), FAT)
    c.fill(body(6), MUSCLE)
    # skull and brain
    c.fill(c.ellipsoid((0, -4, 66), (68, 87, 72)), BONE)
    c.fill(c.ellipsoid((0, -4, 67), (62, 81, 66)), BRAIN)
    c.fill(c.ellipsoid((0, 0, 70), (9, 26, 10)), 8.0)  # ventricles
    c.fill(c.ellipsoid((0, 44, 6), (46, 42, 14)) & (c.voxels < 100), SPONGY)  # base and upper jaw
    c.fill(c.tube(-14, 24, 0, -30.0, 14, 14), BRAIN)  # brainstem through the foramen
    c.fill(c.ellipsoid((0, 52, 14), (13, 30, 18)), AIR)  # nose
    for side in (-1, 1):
        c.fill(c.ellipsoid((side * 32, 66, 26), (12, 13, 12)), 20.0)  # eyes
        c.fill(c.ellipsoid((side * 27, 50, 4), (14, 16, 13)), AIR)  # maxillary sinuses
    # lower jaw: an arch, and a branch on each side
    arch = (c.x / 45) ** 2 + ((c.y - 24) / 56) ** 2
    c.fill((arch < 1) & (arch > 0.66) & (c.y > 22) & (c.z > -42) & (c.z < -18), BONE)
    for side in (-1, 1):
        branch = (np.abs(c.x - side * 45) < 4.5) & (np.abs(c.y - 20 - 0.1 * (c.z + 10)) < 15)
        c.fill(branch & (c.z >= -38) & (c.z < 14), BONE)
        c.fill(c.ellipsoid((side * 53, 4, -10), (10, 17, 23)), -25.0)  # parotid glands
        c.fill(c.ellipsoid((side * 24, 22, -44), (9, 14, 9)), 30.0)  # submandibular glands
    # spine: bodies with discs between, the arch behind, the cord in the canal
    body_of = c.tube(-122, -10, 0, spine + 17, 13, 10)
    c.fill(body_of, SPONGY)
    c.fill(body_of & (np.abs((c.z + 122) % 17 - 15) < 2), 90.0)
    c.fill(c.tube(-122, -10, 0, spine, 17, 15) & ~c.tube(-122, -10, 0, spine, 11, 9), 420.0)
    c.fill(c.tube(-122, -10, 0, spine, 11, 9), 12.0)
    c.fill(c.tube(-122, -8, 0, spine, 6.5, 4.5), 42.0)
    # airway, larynx, gullet
    c.fill(c.tube(-56, -4, 0, spine + 37, 9, 7), AIR)
    c.fill(c.tube(-82, -56, 0, spine + 44, 18, 18), 130.0)
    c.fill(c.tube(-82, -56, 0, spine + 44, 15, 15), MUSCLE)
    c.fill(c.tube(-130, -56, 0, spine + 43, 8, 8), AIR)
    c.fill(c.tube(-130, -82, 0, spine + 29, 7, 5), 30.0)
    for side in (-1, 1):
        c.fill(c.ellipsoid((side * 20, 14, -92), (8, 10, 20)), 120.0)  # thyroid
        c.fill(c.tube(-120, -30, side * 28, spine + 30, 5, 5), 60.0)  # vessels
    soft = ndimage.gaussian_filter(c.voxels, 0.6)
    noise = ndimage.gaussian_filter(rng.normal(0, 1, soft.shape), 0.7)
    voxels = np.where(soft < -950, soft + 4 * rng.normal(0, 1, soft.shape), soft + 14 * noise / noise.std())
    return np.clip(np.rint(voxels), -1024, 3000).astype(np.int16), c.affine()


def thigh_pet(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """FDG-PET of the left thigh with a tumour; float32 SUV (48, 56, 64) at 4 x 4 x 4 mm, and its affine."""
    c = Canvas.of((96, 56, 64), (4.0, 4.0, 4.0), 0.0)
    rng = np.random.default_rng(seed)
    for side in (-1, 1):
        width = 62 + 0.09 * c.z  # wider above
        c.fill(((c.x - side * 80) / width) ** 2 + (c.y / (width + 6)) ** 2 < 1, 0.25)  # fat
        c.fill(((c.x - side * 80) / (width - 10)) ** 2 + (c.y / (width - 6)) ** 2 < 1, 0.6)  # muscle
        c.fill(((c.x - side * 84) / 13) ** 2 + ((c.y - 4) / 13) ** 2 < 1, 0.4)  # femur
        c.fill(((c.x - side * 62) / 6) ** 2 + ((c.y - 10) / 6) ** 2 < 1, 1.4)  # vessels
    c.fill(c.ellipsoid((-92, 34, 18), (26, 20, 38)), 6.5)
    c.fill(c.ellipsoid((-92, 34, 22), (11, 8, 16)), 2.2)  # dead core
    blurred = ndimage.gaussian_filter(c.voxels, 0.9)
    noise = ndimage.gaussian_filter(rng.normal(0, 1, blurred.shape), 0.9)
    voxels = blurred * (1 + 0.12 * noise / noise.std()) + 0.02 * np.abs(noise)
    # the scan ends between the thighs
    return np.maximum(voxels, 0)[:48].astype(np.float32), c.affine()
