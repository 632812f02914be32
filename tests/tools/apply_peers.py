"""apply_peers.py COLLIMATE FOLDER [SIDE]: one volume through one displacement field on one grid by collimate,
SimpleITK and scipy, each on one thread; CPU seconds (user and system), least of three, and the largest difference
inside. SimpleITK and scipy resample in memory and are not charged for files; collimate is its whole command, which
reads, decodes, encodes and writes chunks. Needs zarr 3, SimpleITK and scipy."""
import os
import resource
import shutil
import subprocess
import sys
import time

import numpy as np
import SimpleITK as sitk
import zarr
from scipy.ndimage import map_coordinates

PITCH = 8  # voxels between the field's nodes
program, folder = sys.argv[1:3]
side = int(sys.argv[3]) if len(sys.argv) > 3 else 256
sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def write(name, array, chunks):
    path = os.path.join(folder, name)
    shutil.rmtree(path, ignore_errors=True)
    out = zarr.create_array(path, shape=array.shape, chunks=chunks, dtype=array.dtype)
    out[:] = array
    return path


def least(run):
    best, made = float("inf"), None
    for _ in range(3):
        begin = time.process_time()
        made = run()
        best = min(best, time.process_time() - begin)
    return best, made


def least_command(out, *command):
    best = float("inf")
    for _ in range(3):
        shutil.rmtree(out, ignore_errors=True)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best, zarr.open_array(os.path.join(out, "s0"), mode="r")[:]


def ours(image, field, how):
    out = os.path.join(folder, "out.ome.zarr")
    return least_command(out, program, "apply", f"spacing={PITCH},{PITCH},{PITCH}:{field}", image, out,
                         "--input-spacing", "1,1,1", "--spacing", "1,1,1", "--origin", "0,0,0",
                         "--shape", f"{side},{side},{side}", "--chunk", "64", "--no-pyramid", "--threads", "1", *how)


def itk(volume, u, how):
    field = sitk.GetImageFromArray(np.ascontiguousarray(u[..., ::-1]).astype(np.float64), isVector=True)
    field.SetSpacing([float(PITCH)] * 3)
    t = sitk.DisplacementFieldTransform(field)
    image = sitk.GetImageFromArray(volume)
    made = least(lambda: sitk.Resample(image, image, t, how, 0.0, image.GetPixelID()))
    return made[0], sitk.GetArrayFromImage(made[1])


def scipy_(volume, u, order):
    """the field at every voxel is made beforehand and not counted"""
    at = np.indices(volume.shape, dtype=np.float32)
    nodes = at.reshape(3, -1) / PITCH
    for c in range(3):
        at[c] += map_coordinates(u[..., c], nodes, order=1, mode="nearest").reshape(volume.shape)
    return least(lambda: map_coordinates(volume, at, order=order, mode="constant", prefilter=False))


def main():
    os.makedirs(folder, exist_ok=True)
    rng = np.random.default_rng(5)
    n = side // PITCH + 2
    z, y, x = np.ogrid[:n, :n, :n]
    u = np.stack([3 * np.sin(.3 * x + c) * np.cos(.2 * y + .1 * z) for c in range(3)], -1).astype(np.float32)
    field = write("field.zarr", u, (n, n, n, 3))
    inner = (slice(8, -8),) * 3
    print("CPU s (of collimate's), difference inside\n"
          f"{'voxels':8} {'kind':8} {'collimate':>10} {'SimpleITK':>26} {'scipy':>26}")
    for dtype, kind in (("uint8", "linear"), ("uint16", "linear"), ("float32", "linear"), ("uint32", "labels")):
        volume = rng.integers(0, 200, (side,) * 3).astype(dtype)
        image = write("moving.zarr", volume, (64, 64, 64))
        label = kind == "labels"
        rows = [ours(image, field, ["--labels"] if label else [])]
        rows.append(itk(volume, u, sitk.sitkNearestNeighbor if label else sitk.sitkLinear))
        rows.append(scipy_(volume, u, 0 if label else 1))
        told = []
        for seconds, made in rows[1:]:
            off = np.abs(made[inner].astype(float) - rows[0][1][inner])
            apart = f"{np.mean(off > 0):.1e} other" if label else f"{off.max():.1e}"
            told.append(f"{seconds:6.2f} ({seconds / rows[0][0]:5.2f}), {apart}")
        print(f"{dtype:8} {kind:8} {rows[0][0]:10.2f} {told[0]:>26} {told[1]:>26}", flush=True)


main()
