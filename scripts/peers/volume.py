"""Volumes and transforms for the comparison, read without any code of the program under test.

A volume is float32, z y x, on an upright grid; world coordinates are z y x in the pair's unit with x and y
as ITK has them (LPS), so that every peer and the program under test mean the same world.
A transform is a dense map of the fixed grid: displacement T(x) - x in that unit, [3, z, y, x].
"""
import gzip
import json
import struct
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import zarr
from scipy.ndimage import map_coordinates


@dataclass
class Volume:
    data: np.ndarray  # z y x
    spacing: np.ndarray
    origin: np.ndarray  # of the centre of voxel 0, 0, 0


def read_n5(path):
    """A 3-D N5 array of gzip blocks, as its specification has them: big-endian, x fastest."""
    path = Path(path)
    a = json.loads((path / "attributes.json").read_text())
    shape, block = a["dimensions"], a["blockSize"]
    out = np.zeros(shape[::-1], np.float32)
    for z in range(-(-shape[2] // block[2])):
        for y in range(-(-shape[1] // block[1])):
            for x in range(-(-shape[0] // block[0])):
                file = path / str(x) / str(y) / str(z)
                if not file.exists():
                    continue
                raw = file.read_bytes()
                n = struct.unpack(">4x3I", raw[:16])
                v = np.frombuffer(gzip.decompress(raw[16:]), ">u2" if a["dataType"] == "uint16" else ">u1")
                at = z * block[2], y * block[1], x * block[0]
                out[at[0] : at[0] + n[2], at[1] : at[1] + n[1], at[2] : at[2] + n[0]] = v.reshape(n[::-1])
    s = np.multiply(a["pixelResolution"], a["downsamplingFactors"])[::-1]
    # BigDataViewer's rule: a mean of f voxels has its centre (f - 1) / 2 of them further in
    origin = np.multiply(a["pixelResolution"], np.subtract(a["downsamplingFactors"], 1) / 2)[::-1]
    return Volume(out, s.astype(float), origin.astype(float))


def read_nifti(path, channel=None):
    """NIfTI with axes along the world's (in any order and direction), turned upright."""
    image = nibabel.load(path)
    data = np.asarray(image.dataobj)
    if channel is not None and data.ndim == 4:
        data = data[..., channel]
    m = np.diag([-1, -1, 1, 1.0]) @ image.affine  # RAS to LPS
    axis = [int(np.argmax(abs(m[i, :3]))) for i in range(3)]
    if sorted(axis) != [0, 1, 2] or abs(m[:3, :3]).sum() - sum(abs(m[i, axis[i]]) for i in range(3)) > 1e-4:
        raise ValueError(f"{path}: axes are not along the world's")
    data = data.transpose(axis)
    origin = m[:3, 3].copy()
    spacing = np.empty(3)
    for i in range(3):
        step = m[i, axis[i]]
        spacing[i] = abs(step)
        if step < 0:
            data = np.flip(data, i)
            origin[i] += step * (data.shape[i] - 1)
    return Volume(np.ascontiguousarray(data.transpose(2, 1, 0), np.float32), spacing[::-1], origin[::-1])


def read_nrrd(path):
    """NRRD with axes along the world's, as ITK reads it."""
    import SimpleITK as sitk

    image = sitk.ReadImage(str(path))
    if not np.allclose(image.GetDirection(), np.eye(3).ravel()):
        raise ValueError(f"{path}: axes are not along the world's")
    data = sitk.GetArrayFromImage(image).astype(np.float32)
    return Volume(data, np.array(image.GetSpacing()[::-1]), np.array(image.GetOrigin()[::-1]))


def read(path):
    name = str(path)
    return read_nifti(path) if name.endswith((".nii", ".nii.gz")) else read_nrrd(path) if name.endswith(".nrrd") else read_n5(path)


def grid(v):
    """World position of every voxel, [3, z, y, x]."""
    axes = [(v.origin[d] + v.spacing[d] * np.arange(v.data.shape[d])).astype(np.float32) for d in range(3)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def affine_field(matrix, fixed):
    """Displacement of a 3 x 4 or 4 x 4 affine, z y x."""
    x = grid(fixed)
    m = np.asarray(matrix, float)
    y = np.einsum("ij,jzyx->izyx", m[:3, :3], x) + m[:3, 3][:, None, None, None]
    return (y - x).astype(np.float32)


def sample(image, origin, spacing, points, order=1, mode="nearest"):
    """image at world points [3, ...]"""
    index = [(points[d] - origin[d]) / spacing[d] for d in range(3)]
    return map_coordinates(image, index, order=order, mode=mode, prefilter=order > 1)


def collimate_map(folder, points, unit_um):
    """T(points) of a run's transform.ome.zarr: the affine after the displacement on its lattice; points in
    the pair's unit, [3, n]"""
    scene = zarr.open_group(folder, mode="r").attrs["ome"]["scene"]["coordinateTransformations"][0]
    x = np.asarray(points, float) * unit_um
    for step in scene["transformations"]:
        if step["type"] == "affine":
            m = np.asarray(step["affine"], float)
            x = np.einsum("ij,j...->i...", m[:, :3], x) + m[:, 3].reshape(3, *[1] * (x.ndim - 1))
        elif step["type"] == "displacements":
            x = x + lattice_at(Path(folder) / step["path"], x)
        else:
            raise ValueError(f"{folder}: a step of type {step['type']}")
    return x / unit_um


def lattice_at(path, x):
    """The displacement at x: trilinear between nodes, the border's value beyond them. Components first."""
    group = zarr.open_group(path, mode="r")
    level = group.attrs["ome"]["multiscales"][0]["datasets"][0]
    u = np.asarray(group[level["path"]][...], np.float64)
    steps = level["coordinateTransformations"][0]["transformations"]
    scale = next(t["scale"] for t in steps if t["type"] == "scale")[1:]
    origin = next(t["translation"] for t in steps if t["type"] == "translation")[1:]
    return np.stack([sample(u[c], origin, scale, x) for c in range(3)])
