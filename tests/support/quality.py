"""quality.py: for scripts/interop. What `collimate evaluate` says of a run, against the same figures in double precision
by numpy and scipy over the whole volumes (docs/quality.md has the definitions). Fails on a difference above 1e-6."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import zarr
from scipy import ndimage

PROGRAM = os.environ["COLLIMATE"]
RADIUS = 3
failed = 0


def run(*args):
    r = subprocess.run([PROGRAM, *map(str, args)], capture_output=True)
    if r.returncode:
        sys.exit(f"{' '.join(map(str, args))}: {r.stderr.decode().strip()}")
    return r.stdout


def check(name, got, want, tolerance=1e-6):
    global failed
    off = abs(got - want) / max(1.0, abs(want)) if got is not None else np.inf
    bad = not off <= tolerance
    failed += bad
    print(f"{name:42} {got!s:24} {want:<24.16g} {'DIFFERS' if bad else ''}")


def image(path):
    """Voxels in double, spacing, origin."""
    group = zarr.open_group(path, mode="r")
    spacing, origin = np.ones(3), np.zeros(3)
    for t in group.attrs["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]:
        if t["type"] == "scale":
            spacing = np.array(t["scale"], float)
        else:
            origin = np.array(t["translation"], float)
    return group["s0"][:], spacing, origin


def points(shape, spacing, origin):
    at = np.meshgrid(*(o + s * np.arange(n) for n, s, o in zip(shape, spacing, origin)), indexing="ij")
    return np.stack(at)


def percentile(v, p):
    return np.percentile(np.asarray(v, float).ravel(), p, method="inverted_cdf")


def interpolate(v, at, order=1, mode="nearest"):
    return ndimage.map_coordinates(np.asarray(v, float), at, order=order, mode=mode)


def similarity(row, f, w, ranges, name):
    on = np.isfinite(w)
    a, b = f[on], w[on]
    check(f"{name} ncc", row["ncc"], np.corrcoef(a, b)[0, 1])
    check(f"{name} mean square", row["mean_square_intensity2"], np.mean((a - b) ** 2))
    check(f"{name} overlap", row["overlap"], on.mean())
    size = 2 * RADIUS + 1

    def mean(x):
        return ndimage.uniform_filter(np.where(on, x, 0.0), size, mode="constant")

    whole = ndimage.minimum_filter(on.astype(np.uint8), size, mode="constant", cval=0) > 0
    c = np.mean(a)  # about a middle value, so that no digits are lost
    d = np.mean(b)
    g, v = f - c, np.where(on, w, d) - d
    mg, mv = mean(g), mean(v)
    vg, vv = mean(g * g) - mg**2, mean(v * v) - mv**2
    on2 = whole & (vg > 1e-12 * np.ptp(f) ** 2) & (vv > 1e-12 * np.ptp(b) ** 2)
    local = (mean(g * v) - mg * mv)[on2] / np.sqrt(vg[on2] * vv[on2])
    check(f"{name} local ncc", row["local_ncc"], local.mean())
    check(f"{name} windows", row["local_ncc_windows"], on2.sum())
    (lo, hi), (lo2, hi2) = ranges
    bins = []
    for v, lo, hi in ((a, lo, hi), (b, lo2, hi2)):
        u = np.clip(64 * ((v - lo) / (hi - lo)) - 0.5, 0, 63)
        lower = np.minimum(u.astype(int), 62)
        bins.append(((lower, 1 - u + lower), (lower + 1, u - lower)))
    p = np.zeros((64, 64))
    for i, s in bins[0]:
        for j, t in bins[1]:
            np.add.at(p, (i, j), s * t / a.size)
    q = np.outer(p.sum(1), p.sum(0))
    information = np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0]))
    check(f"{name} mutual information", row["mutual_information_nats"], information)
    entropy = [-np.sum(v[v > 0] * np.log(v[v > 0])) for v in (p.sum(1), p.sum(0), p)]
    check(f"{name} normalised", row["normalised_mutual_information"], (entropy[0] + entropy[1]) / entropy[2])


def surface(v, label):
    on = v == label
    edge = np.zeros_like(on)
    for d in range(3):
        differs = np.diff(on, axis=d)
        lo, hi = [slice(None)] * 3, [slice(None)] * 3
        lo[d], hi[d] = slice(None, -1), slice(1, None)
        edge[tuple(lo)] |= differs
        edge[tuple(hi)] |= differs
    return on & edge


def labels(row, f, m, spacing, reach, name):
    for each in row["each"]:
        a, b = f == each["label"], m == each["label"]
        check(f"{name} dice of {each['label']}", each["dice"], 2 * (a & b).sum() / (a.sum() + b.sum()))
        s, t = surface(f, each["label"]), surface(m, each["label"])
        there = ndimage.distance_transform_edt(~t, sampling=spacing)[s]
        back = ndimage.distance_transform_edt(~s, sampling=spacing)[t]
        both = np.concatenate([there, back])
        both = np.where(both <= reach * (1 + 1e-9), both, reach)
        check(f"{name} surface of {each['label']}", each["surface_mean_um"], both.mean())
        worst = max(percentile(there, 95), percentile(back, 95))
        if worst <= reach:
            check(f"{name} hausdorff95 of {each['label']}", each["hausdorff95_um"], worst)


def write_labels(path, v, like):
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.create_array("s0", data=v, chunks=(32, 32, 32), dimension_names=("z", "y", "x"))
    meta = json.loads(json.dumps(dict(zarr.open_group(like, mode="r").attrs)))
    scale = meta["ome"]["multiscales"][0]
    scale["datasets"] = scale["datasets"][:1]
    group.attrs.update(meta)


def main(root):
    run("phantom", "--size", "48,64,72", "-q", root / "demo")
    fixed_path, moving_path, out = root / "demo/fixed.ome.zarr", root / "moving.ome.zarr", root / "out"
    run("convert", "-q", root / "demo/moving.n5", moving_path)
    run("align", "--fixed", fixed_path, "--moving", moving_path, "--out", out, "-q")
    f, spacing, origin = image(fixed_path)
    m, m_spacing, m_origin = image(moving_path)
    lf, lm = ((np.digitize(v, np.percentile(v, [80, 95])) * 7).astype(np.uint16) for v in (f, m))
    write_labels(root / "lf.ome.zarr", lf, fixed_path)
    write_labels(root / "lm.ome.zarr", lm, moving_path)
    maps = root / "maps"
    said = json.loads(run("evaluate", out, "--radius", RADIUS, "--json", "-q", "--maps", maps, "--fixed-labels",
                          root / "lf.ome.zarr", "--moving-labels", root / "lm.ome.zarr"))

    affine = np.loadtxt(out / "affine.txt")
    dfield = zarr.open_group(out / "transform.ome.zarr", mode="r")
    u = dfield["coordinateTransformations/dfield/s0"][:].astype(float)
    pitch = np.array(said["field"]["lattice_um"])
    x = points(f.shape, spacing, origin)

    def t_affine(p):
        return np.einsum("ij,j...->i...", affine[:3, :3], p) + affine[:3, 3].reshape(3, *[1] * (p.ndim - 1))

    def node(p):  # node 0 stands on the first voxel
        return (p - origin.reshape(3, *[1] * (p.ndim - 1))) / pitch.reshape(3, *[1] * (p.ndim - 1))

    def t_all(p):
        return t_affine(p + np.stack([interpolate(u[c], node(p)) for c in range(3)]))

    ranges = [np.percentile(v.ravel(), [0.1, 99.9], method="inverted_cdf") for v in (f, m)]
    images = said["images"]
    check("fixed range", images["fixed_range_intensity"][1], ranges[0][1])
    for name, t in (("before", lambda p: p), ("affine", t_affine), ("after", t_all)):
        at = (t(x) - m_origin.reshape(3, 1, 1, 1)) / m_spacing.reshape(3, 1, 1, 1)
        last = (np.array(m.shape) - 1.0).reshape(3, 1, 1, 1)
        inside = np.all((at >= -2e-5) & (at <= last + 2e-5), axis=0)
        w = np.where(inside, interpolate(m, np.clip(at, 0, last)), np.nan)
        similarity(images[name], f.astype(float), w, ranges, name)
        near = np.clip(np.floor(at + 0.5), 0, last).astype(int)
        carried = np.where(inside, lm[near[0], near[1], near[2]], 0)
        if name == "before":  # elsewhere float32 positions halfway between two voxels may go the other way
            labels(said["labels"][name], lf, carried, spacing, said["labels"]["surface_reach_um"], name)

    nodes = points(u.shape[1:], pitch, origin)
    length = np.linalg.norm(u, axis=0)
    moved = np.linalg.norm(t_affine(nodes + u) - nodes, axis=0)
    for key, v in (("displacement", moved), ("displacement_beside_affine", length)):
        check(f"{key} mean", said["field"][key]["mean_um"], v.mean())
        for p in (50, 90, 95, 99, 99.9):
            check(f"{key} {p} %", said["field"][key][f"p{p:g}_um"], percentile(v, p))
    slope = np.zeros((3, 3) + tuple(n - 1 for n in u.shape[1:]))
    for c in range(3):
        for d in range(3):
            g = np.diff(u[c], axis=d) / pitch[d]
            for e in range(3):
                if e != d:
                    lo, hi = [slice(None)] * 3, [slice(None)] * 3
                    lo[e], hi[e] = slice(None, -1), slice(1, None)
                    g = 0.5 * (g[tuple(lo)] + g[tuple(hi)])
            slope[c, d] = g + (c == d)
    det = np.linalg.det(affine[:3, :3]) * np.linalg.det(np.moveaxis(slope, (0, 1), (-2, -1)))
    jacobian = said["field"]["jacobian"]
    check("jacobian mean", jacobian["mean"], det.mean())
    check("jacobian least centre", jacobian["centre_min"], det.min())
    for p in (0.1, 1, 50, 99, 99.9):
        check(f"jacobian {p} %", jacobian[f"p{p:g}"], percentile(det, p))
    drawn = zarr.open_group(maps / "jacobian.ome.zarr", mode="r")["s0"][:]
    check("jacobian map, largest difference", float(np.abs(drawn - det).max()), 0.0)
    drawn = zarr.open_group(maps / "displacement.ome.zarr", mode="r")["s0"][:]
    check("displacement map, largest difference", float(np.abs(drawn - length).max()), 0.0)


with tempfile.TemporaryDirectory() as folder:
    main(pathlib.Path(folder))
print(f"{failed} figures differ" if failed else "every figure of evaluate agrees with numpy's")
sys.exit(failed > 0)
