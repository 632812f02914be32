"""The figures of one transform on one pair, the same code for every tool.

NCC: Pearson over the voxels that the transform maps inside the moving volume (own) and over those that the
pair's reference affine maps inside, too (common). Local NCC: Pearson in 9 x 9 x 9 windows that lie wholly
inside and are not flat, mean over the common voxels. MI: 64 bins between the 0.1 and 99.9 percentiles, nats.
Jacobian: determinant of the whole map by central differences. Resampling is trilinear, once, from the
original moving volume.
"""
import numpy as np
from scipy.ndimage import uniform_filter

from volume import affine_field, grid, sample

RADIUS = 4
FLAT = 1e-7  # of the whole image's variance


def inside(moving, y):
    ok = np.ones(y.shape[1:], bool)
    for d in range(3):
        v = (y[d] - moving.origin[d]) / moving.spacing[d]
        ok &= (v >= 0) & (v <= moving.data.shape[d] - 1)
    return ok


def pearson(a, b):
    if a.size < 2:
        return float("nan")
    a, b = a - a.mean(), b - b.mean()
    d = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / d) if d > 0 else float("nan")


def local_ncc(f, m, mask, where):
    width = 2 * RADIUS + 1

    def mean(v):
        return uniform_filter(v.astype(np.float64), width, mode="constant")

    keep = mask.astype(np.float64)
    f, m = (f - f[mask].mean()) * keep, (m - m[mask].mean()) * keep
    whole = mean(keep) > 1 - 0.5 / width**3
    ff, mm = mean(f * f) - mean(f) ** 2, mean(m * m) - mean(m) ** 2
    good = whole & where & (ff > FLAT * f[mask].var()) & (mm > FLAT * m[mask].var())
    fm = mean(f * m) - mean(f) * mean(m)
    return float((fm[good] / np.sqrt(ff[good] * mm[good])).mean()) if good.any() else float("nan")


def mutual_information(f, m, bins=64):
    if f.size < 2:
        return float("nan")
    index = []
    for v in (f, m):
        lo, hi = np.percentile(v, [0.1, 99.9])
        index.append(np.clip(((v - lo) / max(hi - lo, 1e-30) * bins).astype(int), 0, bins - 1))
    p = np.bincount(index[0] * bins + index[1], minlength=bins * bins).reshape(bins, bins) / f.size
    outer = p.sum(1, keepdims=True) * p.sum(0)
    return float((p[p > 0] * np.log(p[p > 0] / outer[p > 0])).sum())


def jacobian(u, spacing):
    """det of I + grad u on the fixed grid; along an axis of one voxel nothing changes"""
    j = np.zeros((3, 3) + u.shape[1:], np.float32)
    for i in range(3):
        for d in range(3):
            if u.shape[1 + d] > 1:
                j[i, d] = np.gradient(u[i], spacing[d], axis=d)
        j[i, i] += 1
    return (
        j[0, 0] * (j[1, 1] * j[2, 2] - j[1, 2] * j[2, 1])
        - j[0, 1] * (j[1, 0] * j[2, 2] - j[1, 2] * j[2, 0])
        + j[0, 2] * (j[1, 0] * j[2, 1] - j[1, 1] * j[2, 0])
    )


def dice(fixed_labels, moved_labels):
    found = {}
    for k in np.unique(fixed_labels[fixed_labels > 0]):
        a, b = fixed_labels == k, moved_labels == k
        found[int(k)] = float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))
    return found


def truth(pair, u):
    """Against what the pair knows: landmarks, labels, a matrix. {} without truth."""
    out = {}
    f = pair.fixed
    if pair.landmarks is not None:
        p, q = pair.landmarks  # [n, 3] fixed and moving world
        at = p.T
        y = at + np.stack([sample(u[c], f.origin, f.spacing, at) for c in range(3)])
        error = np.sqrt(((y.T - q) ** 2).sum(1))
        out["tre_mean"], out["tre_median"], out["tre_max"] = error.mean(), np.median(error), error.max()
    if pair.fixed_labels is not None:
        m = pair.moving_labels
        y = grid(f) + u
        moved = sample(m.data, m.origin, m.spacing, y, order=0, mode="constant")
        per = dice(pair.fixed_labels.data.astype(int), moved.astype(int))
        out["dice"] = float(np.mean(list(per.values())))
        # as greedy's own tests have it: all labels together, by volume
        both = moved.astype(int)
        same = ((pair.fixed_labels.data == both) & (both > 0)).sum()
        out["dice_general"] = float(2 * same / max(1, (pair.fixed_labels.data > 0).sum() + (both > 0).sum()))
    if pair.true_affine is not None:
        error = np.sqrt(((u - affine_field(pair.true_affine, f)) ** 2).sum(0))
        where = pair.true_where if pair.true_where is not None else np.ones(error.shape, bool)
        out["error_median"], out["error_p99"] = np.percentile(error[where], [50, 99])
    return {k: float(v) for k, v in out.items()}


def figures(pair, u):
    f, m = pair.fixed, pair.moving
    x = grid(f)
    y = x + u
    own = inside(m, y)
    common = own & inside(m, x + affine_field(pair.reference, f))
    moved = sample(m.data, m.origin, m.spacing, y, mode="constant")
    j = jacobian(u, f.spacing)
    a, b = f.data[common], moved[common]
    return {
        "ncc": pearson(f.data[own], moved[own]),
        "ncc_common": pearson(a, b),
        "local_ncc": local_ncc(f.data, moved, own, common),
        "mi": mutual_information(a, b),
        "min_jacobian": float(j.min()),
        "folded": float((j <= 0).mean()),
        "overlap": float(own.mean()),
        **truth(pair, u),
    }
