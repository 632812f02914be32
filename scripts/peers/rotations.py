"""Random poses: turns a pair's moving volume by random rotations and asks the global stage alone for the way back.

    rotations.py --collimate PROGRAM --data FOLDER --out FOLDER [--pair expansion|phantom] [--trials 100] [--seed 1]
                 [--upright]

The moving volume of the expansion pair or of the default phantom, resampled about its centre by a uniformly
random rotation. The answer, turned back, is compared at the corners of the fixed volume with the upright refined
affine. A success is within one voxel of the level worked on in the mean over the corners; an error message is none.
With --upright nothing is turned: the stage as it is by default, with other seeds, against its answers at full resolution,
which are the intensities' optimum: the farthest corner.
"""
import argparse
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

import pairs
from volume import read_nifti


@dataclass
class Poses:
    """a pair, the spacing that its moving volume is turned at, and the level that the global stage then works at"""

    fixed_path: Path
    moving_path: Path
    fixed: object
    moving: object
    step: float  # um
    max_mvox: float
    voxel: float  # um, of the level


def expansion(args, out):
    pair = next(pairs.expansion(Path(args.data))).load()
    return Poses(pair.fixed_path, pair.moving_path, pair.fixed, pair.moving, 3.6, 15, 3.36)


def phantom(args, out):
    made = out / "phantom"
    if not made.exists():
        subprocess.run([args.collimate, "phantom", "-q", str(made)], check=True)
    paths, volumes = [made / "fixed.ome.zarr", made / "moving.n5"], []
    for path in paths:
        copy = out / (path.name + ".nii")
        copy.unlink(missing_ok=True)
        subprocess.run([args.collimate, "convert", "-q", str(path), str(copy)], check=True)
        volumes.append(read_nifti(copy))
        unit = {"micron": 1, "mm": 1000}[nibabel.load(copy).header.get_xyzt_units()[0]]
        volumes[-1].spacing *= unit
        volumes[-1].origin *= unit
    return Poses(*paths, *volumes, 1.8, 5, 1.6)


def write(path, data, spacing, origin):
    """z y x, LPS, micrometres as the header's micron unit"""
    m = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    m[:3, 3] = -origin[2], -origin[1], origin[0]
    image = nibabel.Nifti1Image(np.ascontiguousarray(data.transpose(2, 1, 0)), m)
    image.header.set_xyzt_units("micron")
    image.set_sform(m, 1)
    nibabel.save(image, path)


def turned(v, turn, step):
    """the volume in a frame where y = centre + turn (x - centre); -1 where it has nothing"""
    size = (np.array(v.data.shape) - 1) * v.spacing
    centre = v.origin + size / 2
    corners = np.array(np.meshgrid(*[(-s / 2, s / 2) for s in size])).reshape(3, -1)
    reach = abs(turn @ corners).max(1)
    n = np.ceil(2 * reach / step).astype(int) + 1
    origin = centre - (n - 1) * step / 2
    axes = [origin[d] + step * np.arange(n[d]) - centre[d] for d in range(3)]
    y = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1)
    x = (turn.T @ y) / v.spacing[:, None] + ((centre - v.origin) / v.spacing)[:, None]
    data = map_coordinates(v.data, x, order=1, mode="constant", cval=-1).reshape(n).astype(np.float32)
    return data, origin, centre


def affine_of(args, pair, moving, out, seed):
    shutil.rmtree(out, ignore_errors=True)
    off = [f"{k}.enabled=false" for k in ("local", "deform", "apply", "measure")]
    command = [args.collimate, "align", "--quiet", "--fixed", str(pair.fixed_path), "--moving", str(moving),
               "--out", str(out), "--threads", "1", "--any-rotation", "--set", f"global.max_mvox={pair.max_mvox}", "--set", f"seed={seed}", "--set", "mask.moving_background=[-1]"]
    for o in off:
        command += ["--set", o]
    r = subprocess.run(command, capture_output=True, text=True)
    return (np.loadtxt(out / "affine.txt"), "") if r.returncode == 0 else (None, r.stderr.strip()[-200:])


def gap(a, b, corners):
    """um between two affines, at the farthest corner"""
    d = a - b
    return float(np.sqrt(((d[:3, :3] @ corners + d[:3, 3:]) ** 2).sum(0)).max())


def upright(args, pair, corners, out):
    found = {}
    for name, max_mvox in (("default", 4), ("full", 1000)):
        pair.max_mvox = max_mvox
        tried = [affine_of(args, pair, pair.moving_path, out / "run", k + 1) for k in range(args.trials)]
        found[name] = [a for a, _ in tried if a is not None]
    a, b = found["default"], found["full"]
    print(json.dumps({"pair": args.pair, "trials": args.trials, "answers": [len(a), len(b)],
                      "seeds_um": max(gap(x, y, corners) for x in a for y in a),
                      "seeds_full_um": max(gap(x, y, corners) for x in b for y in b),
                      "from_optimum_um": max(gap(x, y, corners) for x in a for y in b)}))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    for name in ("collimate", "data", "out"):
        p.add_argument(f"--{name}", required=True)
    p.add_argument("--pair", choices=["expansion", "phantom"], default="expansion")
    p.add_argument("--trials", type=int, default=100)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--upright", action="store_true")
    args = p.parse_args()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    pair = {"expansion": expansion, "phantom": phantom}[args.pair](args, out)
    size = (np.array(pair.fixed.data.shape) - 1) * pair.fixed.spacing
    corners = np.array(np.meshgrid(*[(0, s) for s in size])).reshape(3, -1) + pair.fixed.origin[:, None]
    if args.upright:
        return upright(args, pair, corners, out)
    straight, why = affine_of(args, pair, pair.moving_path, out / "run", 1)
    if straight is None:
        raise SystemExit(f"the upright pair fails: {why}")
    want = straight[:3, :3] @ corners + straight[:3, 3:]
    errors = []
    for k, turn in enumerate(Rotation.random(args.trials, rng=args.seed).as_matrix()):
        data, origin, centre = turned(pair.moving, turn, pair.step)
        write(out / "turned.nii", data, [pair.step] * 3, origin)
        found, why = affine_of(args, pair, out / "turned.nii", out / "run", k + 1)
        if found is None:
            errors.append(None)
            print(f"{k}: FAILED {why}", flush=True)
            continue
        back = turn.T @ (found[:3, :3] @ corners + found[:3, 3:] - centre[:, None]) + centre[:, None]
        errors.append(float(np.sqrt(((back - want) ** 2).sum(0)).mean()))
        print(f"{k}: {errors[-1]:.2f} um", flush=True)
    given = [e for e in errors if e is not None]
    print(json.dumps({"pair": args.pair, "trials": len(errors), "successes": sum(e <= pair.voxel for e in given),
                      "answers": len(given), "median_um": float(np.median(given)) if given else None,
                      "worst_um": max(given) if given else None}))


if __name__ == "__main__":
    main()
