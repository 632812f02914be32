"""interop_bigstream.py: for scripts/interop, run by the Python that has bigstream 5. Transforms that `compose` writes
(affine, field, both; N5 and Zarr) are applied by bigstream's own functions to an image and to points, and transforms
that bigstream finds and writes are applied by `apply` and `points`; prints a table, fails where voxels differ by more
than 0.01 of a range of 200 or points by more than 0.001 micrometres."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

os.environ.update(ITK_THREADS="1")
warnings.simplefilter("ignore")  # zarr 2 on its N5 store
import numpy as np
import zarr
from bigstream import io_utility
from bigstream.align import alignment_pipeline
from bigstream.image_data import ImageData
from bigstream.transform import apply_transform, apply_transform_to_coordinates

PROGRAM = os.environ["COLLIMATE"]
FIXED, MOVING = (28, 36, 44), (32, 38, 48)
SPACING, MOVING_SPACING = np.array((4.0, 3.0, 2.0)), np.array((3.5, 3.0, 2.0))
OUTSIDE = -1000
rng = np.random.default_rng(3)
rows = []  # (what, largest difference, most)


def run(*args):
    r = subprocess.run([PROGRAM, *map(str, args)], capture_output=True, text=True)
    if r.returncode:
        sys.exit(f"{' '.join(map(str, args))}: {r.stderr.strip()}")


def grid(shape, spacing):
    return np.stack(np.meshgrid(*(s * np.arange(n) for n, s in zip(shape, spacing)), indexing="ij"), -1)


def blobs(x, centres):
    return sum(200 * np.exp(-((x - c) ** 2).sum(-1) / (2 * 6.0**2)) for c in centres).clip(0, 200)


def write_image(path, v, spacing):
    z = zarr.open(zarr.N5Store(path.parent), mode="a").create_dataset(
        path.name, data=v, chunks=(16, 16, 16))
    z.attrs["pixelResolution"] = list(spacing[::-1])


def fields_agree(what, root, ours, transforms, spacing, x):
    """Both programs warp the moving image, and the points x: the nodes of the fields, since between them bigstream's
    points follow a cubic spline, its images and ours the straight line."""
    theirs = apply_transform(FIXED, moving, SPACING, MOVING_SPACING, transforms, transform_spacing=spacing)
    out = root / f"{len(rows)}.ome.zarr"
    run("apply", "-q", *ours, root / "images.n5/moving", out, "--like", root / "images.n5/fixed", "--outside", OUTSIDE,
        "--no-pyramid")
    array = json.loads((out / "s0/zarr.json").read_text())
    dumped = subprocess.run([PROGRAM, "dump", str(out / "s0")], capture_output=True, check=True).stdout
    got = np.frombuffer(dumped, array["data_type"]).reshape(FIXED)
    inside = got != OUTSIDE  # bigstream's image reaches half a voxel farther
    assert inside.mean() > 0.5, f"{what}: {inside.mean()} of the voxels inside"
    rows.append((f"{what}, image", np.abs(got - theirs)[inside].max(), 0.01))

    want = apply_transform_to_coordinates(x.copy(), transforms, transform_spacing=spacing)
    np.savetxt(root / "in.csv", x, delimiter=",", header="z,y,x", comments="", fmt="%.9f")
    run("points", "-q", *ours, root / "in.csv", root / "out.csv")
    got = np.loadtxt(root / "out.csv", delimiter=",", skiprows=1, usecols=(0, 1, 2))
    rows.append((f"{what}, points", np.abs(got - want).max(), 1e-3))


def ours_by_bigstream(root):
    affine = np.eye(4)
    affine[:3] += np.hstack([rng.normal(0, 0.03, (3, 3)), rng.normal(0, 4, (3, 1))])
    pitch = SPACING * 2
    lattice = tuple(n // 2 + 1 for n in FIXED)
    x = grid(lattice, pitch)
    u = np.stack([5 * np.sin(x[..., 0] / 20 + i) * np.cos(x[..., 1] / 15 - i) + 2 * np.sin(x[..., 2] / 9) for i in range(3)],
                 -1).astype("f4")
    zarr.save_array(str(root / "given.zarr"), u, chunks=(8, 8, 8, 3))
    np.savetxt(root / "given.txt", affine)
    field = f"spacing={','.join(map(str, pitch))}:{root}/given.zarr"
    run("compose", "-q", root / "given.txt", root / "affine.txt")
    found = np.loadtxt(root / "affine.txt")
    nodes = x.reshape(-1, 3)
    fields_agree("written affine", root, [root / "given.txt"], [found], None, rng.uniform(0, 100, (50, 3)))
    for subpath, container in (("warp/s0", root / "warp.n5"), ("", root / "warp.zarr")):
        run("compose", "-q", field, container / subpath, "--format", "bigstream", "--chunk", 8)
        data = ImageData(str(container), subpath)
        data.read_image()
        said = np.array(data.voxel_spacing)[:3]
        rows.append((f"written field {container.suffix}, spacing", np.abs(said - pitch).max(), 1e-9))
        theirs = data.image_array[...]
        fields_agree(f"written field {container.suffix}", root, [field], [theirs], said, nodes)
        fields_agree(f"written affine and field {container.suffix}", root, [field, root / "given.txt"], [found, theirs], said,
                     nodes)
    run("compose", "-q", field, root / "given.txt", root / "both.n5/s0", "--format", "bigstream", "--chunk", 8)
    both, attributes = io_utility.open(str(root / "both.n5"), "s0")
    fields_agree("both written as one field", root, [field, root / "given.txt"], [both[...]],
                 io_utility.get_voxel_spacing(attributes)[::-1][:3], nodes)


def bigstreams_by_us(root):
    descent = {"optimizer_args": {"learningRate": 0.25, "minStep": 0.0, "numberOfIterations": 20}}
    affine, field = alignment_pipeline(
        fixed, moving, SPACING, MOVING_SPACING,
        [("affine", dict(shrink_factors=(1,), smooth_sigmas=(2.0,), **descent)),
         ("deform", dict(smooth_sigmas=(2.0,), control_point_spacing=30.0, control_point_levels=(1,),
                        optimizer_args={"learningRate": 2.5, "minStep": 0.0, "numberOfIterations": 20}))],
        return_format="independent")
    field = field[1] if isinstance(field, tuple) else field  # beside the spline's parameters
    assert np.abs(affine - np.eye(4)).max() > 1 and np.abs(field).max() > 1, "bigstream's alignment moved nothing"
    np.savetxt(root / "bigstream.txt", affine)
    for name in ("deform.n5", "deform.zarr"):
        # as its pipeline does: xyz, as the fixed image's attributes have it
        written = io_utility.create_dataset(str(root / name), "s0", field.shape, (16, 16, 16, 3), "f4", overwrite=True,
                                            pixelResolution=list(SPACING[::-1]))
        written[...] = field
        ours = [root / name / "s0", root / "bigstream.txt"]
        fields_agree(f"bigstream's {name}", root, ours[:1], [field], SPACING, grid(FIXED, SPACING).reshape(-1, 3))
        fields_agree(f"bigstream's affine and {name}", root, ours, [affine, field], SPACING,
                     grid(FIXED, SPACING).reshape(-1, 3))


with tempfile.TemporaryDirectory() as folder:
    top = pathlib.Path(folder)
    centres = rng.uniform(0.1, 0.9, (60, 3)) * np.array(FIXED) * SPACING
    fixed = blobs(grid(FIXED, SPACING), centres).astype("f4")
    y = grid(MOVING, MOVING_SPACING)
    moving = blobs(y + 2 * np.sin(y[..., ::-1] / 20) - (3, 2, -2), centres).astype("f4")
    for name, v, h in (("fixed", fixed, SPACING), ("moving", moving, MOVING_SPACING)):
        write_image(top / "images.n5" / name, v, h)
    ours_by_bigstream(top)
    bigstreams_by_us(top)
failed = [row for row in rows if not row[1] <= row[2]]
for what, off, most in rows:
    print(f"{what:40} {off:<10.3g} {'' if off <= most else f'DIFFERS: more than {most:g}'}")
print(f"bigstream 5: {len(rows) - len(failed)} of {len(rows)} agree")
sys.exit(bool(failed))
