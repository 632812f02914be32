"""The pairs of ../shared/data: images, units, truth, and how the program under test is asked.

A pair's reference affine (fixed to moving, z y x, in its unit) is where the peers start: what they could not
find themselves is given to them, from the truth where there is one.
"""
import csv
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from volume import Volume, read, read_nifti

PUBLISHED = np.array([  # of the expansion pair, x y z, micrometres
    [0.991070543, 0.0340205967, -0.00563125159, -81.2590407],
    [-0.0386715664, 1.02023436, -0.00630453307, -13.3468687],
    [0.0119321249, -0.0221371673, 0.967441910, -0.242373194],
])


@dataclass
class Pair:
    name: str
    fixed_path: Path
    moving_path: Path
    unit_um: float
    options: list  # of collimate align
    reference: np.ndarray = field(default_factory=lambda: np.eye(4))
    start: str = "identity"  # what the reference is
    kind: str = "same"  # or multimodal
    rigid: bool = False  # the motion is known to be rigid, and every tool is told
    loop: bool = False  # no truth, so there and back is looked at
    note: str = ""
    landmarks: tuple = None
    fixed_labels: Volume = None
    moving_labels: Volume = None
    true_affine: np.ndarray = None
    true_where: np.ndarray = None
    fixed: Volume = None
    moving: Volume = None

    def load(self):
        self.fixed, self.moving = read(self.fixed_path), read(self.moving_path)
        return self

    def exchanged(self):
        return Pair(f"{self.name}-back", self.moving_path, self.fixed_path, self.unit_um, self.options,
                    np.linalg.inv(self.reference), self.start, self.kind, self.rigid).load()


def fit_rigid(p, q):
    """Least squares rigid motion p to q, [n, 3] (Kabsch)."""
    cp, cq = p.mean(0), q.mean(0)
    u, _, v = np.linalg.svd((p - cp).T @ (q - cq))
    r = v.T @ np.diag([1, 1, np.linalg.det(v.T @ u.T)]) @ u.T
    m = np.eye(4)
    m[:3, :3], m[:3, 3] = r, cq - r @ cp
    return m


def settings(*values):
    return [word for v in values for word in ("--set", v)]


def expansion(data):
    d = data / "expansion"
    m = np.eye(4)
    m[:3, :3] = PUBLISHED[::-1, 2::-1]
    m[:3, 3] = PUBLISHED[::-1, 3]
    yield Pair("expansion", d / "fix.n5/lowres", d / "mov.n5/lowres", 1, ["--preset", "expansion"], m, "published affine")


def skull_landmarks(path):
    with open(path) as f:
        return {r["label"]: [float(r[k]) for k in ("z_lps_mm", "y_lps_mm", "x_lps_mm")] for r in csv.DictReader(f)}


def skulls(data):
    d = data / "mouse_skull_ct"
    template = d / "templates/low_res_template_UCHAR.nii.gz"
    fixed = skull_landmarks(d / "landmarks/TEMPLATE_low_res_template_UCHAR.csv")
    for target in sorted(d.glob("targets/*.nii.gz")):
        name = target.name[: -len(".nii.gz")]
        moving = skull_landmarks(d / f"landmarks/{name}.csv")
        both = sorted(set(fixed) & set(moving), key=int)
        p, q = np.array([fixed[k] for k in both]), np.array([moving[k] for k in both])
        yield Pair(f"skull-{name.strip('_')}", template, target, 1000, ["--any-rotation"],
                   fit_rigid(p, q), "rigid fitted to the landmarks (truth)", landmarks=(p, q))


def brains(data):
    d = data / "ants_jlf_brains/JLF"
    for k in range(2, 7):
        pair = Pair(f"brain-1-{k}", d / "ilist1.nii.gz", d / f"ilist{k}.nii.gz", 1000, ["--preset", "brain-mr"])
        pair.fixed_labels, pair.moving_labels = read(d / "slist1.nii.gz"), read(d / f"slist{k}.nii.gz")
        yield pair


def greedy_phantoms(data):
    """Rigid motions: every tool fits a rigid transform and no more."""
    d = data / "greedy_testing"
    m = np.loadtxt(d / "phantom01_rigid.mat")  # RAS, x y z
    flip = np.diag([-1, -1, 1, 1.0])
    m = np.linalg.inv((flip @ m @ flip)[[2, 1, 0, 3]][:, [2, 1, 0, 3]])  # the file maps moving to fixed
    for name in ("phantom01", "phantom02"):
        pair = Pair(f"greedy-{name}", d / f"{name}_fixed.nii.gz", d / f"{name}_moving.nii.gz", 1000,
                    settings("global.method=centre", "global.model=rigid", "local.enabled=false", "deform.enabled=false"),
                    rigid=True)
        pair.true_affine = m
        pair.true_where = read(pair.fixed_path).data > 0
        pair.note = "rigid motion known" if name == "phantom01" else "phantom01 with exchanged contrast"
        if name == "phantom02":
            pair.kind = "multimodal"
            pair.options = pair.options + settings("global.metric=mi")
        yield pair


def prostates(data):
    d = data / "prostate_mr_us/train"
    for k in range(5):
        name = f"case{k:06d}.nii.gz"
        pair = Pair(f"prostate-{k}", d / "us_images" / name, d / "mr_images" / name, 1000,
                    settings("global.method=centre", "global.metric=mi", "global.model=rigid", "local.enabled=false",
                             "deform.metric=mi", "deform.stiffness=64"), kind="multimodal")
        f, m = read(pair.fixed_path), read(pair.moving_path)
        pair.reference[:3, 3] = (m.origin + m.spacing * (np.array(m.data.shape) - 1) / 2) - (
            f.origin + f.spacing * (np.array(f.data.shape) - 1) / 2)
        pair.start = "centres of the images"
        pair.fixed_labels = read_nifti(d / "us_labels" / name, 0)
        pair.moving_labels = read_nifti(d / "mr_labels" / name, 0)
        yield pair


def zebrafish(data):
    """The same fish before and after: no truth, so what there and back misses."""
    d = data / "zebrafish_zbrain/raw_brains"
    for k in (1, 3):
        fish = d / f"2016-10-18fish{k}"
        yield Pair(f"zebrafish-{k}", fish / "pre/ref_xyz5um.nrrd", fish / "post/ref_xyz5um.nrrd", 1,
                   ["--preset", "light-sheet"], loop=True)


FAMILIES = {"expansion": expansion, "brain": brains, "prostate": prostates, "zebrafish": zebrafish, "skull": skulls,
            "greedy": greedy_phantoms}


def choose(data, wanted, quick):
    """Pairs whose name begins with one of `wanted`; with quick the first of each family."""
    for family, make in FAMILIES.items():
        if wanted and not any(w.startswith(family) or family.startswith(w) for w in wanted):
            continue
        for k, pair in enumerate(make(data)):
            if wanted and not any(pair.name.startswith(w) for w in wanted):
                continue
            if quick and k:
                break
            yield pair
