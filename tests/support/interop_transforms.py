"""interop_transforms.py: for scripts/interop. Transforms that SimpleITK writes, in every file kind it has, are given
to `collimate points`; its own TransformPoint says where the points should be. Also fields laid out as bigstream has
them, evaluated by SimpleITK, and what `compose` writes for ITK. Prints a table, fails where a point is off by more
than 0.001 micrometres."""

import os
import pathlib
import subprocess
import sys
import tempfile

import nibabel
import numpy as np
import SimpleITK as sitk
import zarr

PROGRAM = os.environ["COLLIMATE"]
SIZE = (32, 30, 26)  # x y z, of fields
rows = []  # (what, largest error in um)
rng = np.random.default_rng(1)


def ours(root, path, points):
    source, result = root / "in.csv", root / "out.csv"
    np.savetxt(source, points, delimiter=",", header="z,y,x", comments="", fmt="%.9f")
    r = subprocess.run([PROGRAM, "points", "-q", str(path), str(source), str(result)], capture_output=True, text=True)
    if r.returncode:
        print(r.stderr.strip(), file=sys.stderr)
        return np.full_like(points, np.nan)
    return np.loadtxt(result, delimiter=",", skiprows=1, usecols=(0, 1, 2))


def compare(root, what, transform, path, points, um=1000):
    want = np.array([transform.TransformPoint(tuple(map(float, p[::-1] / um)))[::-1] for p in points]) * um
    rows.append((what, np.abs(ours(root, path, points) - want).max()))


def random(n, spread):
    return [float(v) for v in rng.normal(0, spread, n)]


def affines():
    centre = (1.5, -0.4, 2.0)
    yield "identity", sitk.Transform(3, sitk.sitkIdentity)
    yield "translation", sitk.TranslationTransform(3, random(3, 1))
    t = sitk.ScaleTransform(3)
    t.SetScale((1.1, 0.9, 1.3))
    t.SetCenter(centre)
    yield "scale", t
    t = sitk.AffineTransform(3)
    t.SetMatrix((np.eye(3) + rng.normal(0, 0.1, (3, 3))).ravel().tolist())
    t.SetTranslation(random(3, 1))
    t.SetCenter(centre)
    yield "affine", t
    for zyx in (False, True):
        t = sitk.Euler3DTransform()
        t.SetComputeZYX(zyx)
        t.SetParameters(random(6, 0.5))
        t.SetCenter(centre)
        yield f"Euler, zyx {zyx}", t
    for kind, parameters in ((sitk.VersorTransform, random(3, 0.3)), (sitk.VersorRigid3DTransform, random(6, 0.3)),
                             (sitk.Similarity3DTransform, random(6, 0.3) + [1.2]),
                             (sitk.ScaleVersor3DTransform, random(6, 0.3) + [1.2, 0.8, 1.1]),
                             (sitk.ScaleSkewVersor3DTransform, random(6, 0.3) + [1.2, 0.8, 1.1] + random(6, 0.1)),
                             (sitk.ComposeScaleSkewVersor3DTransform, random(6, 0.3) + [1.2, 0.8, 1.1] + random(3, 0.1))):
        t = kind()
        t.SetParameters(parameters)
        t.SetCenter(centre)
        yield kind.__name__, t


def test_affines(root):
    points = rng.uniform(-3000, 3000, (200, 3))
    found = dict(affines())
    for name, t in found.items():
        for end in (".tfm", ".txt", ".mat", ".h5"):
            path = root / f"{len(rows)}{end}"
            sitk.WriteTransform(t, str(path))
            compare(root, f"SimpleITK {name} {end}", t, path, points)
    both = sitk.CompositeTransform([found["affine"], found["Euler, zyx False"], found["translation"]])
    for end in (".tfm", ".h5"):  # into .mat ITK writes the composite without its parts
        sitk.WriteTransform(both, str(root / f"both{end}"))
        compare(root, f"SimpleITK composite {end}", both, root / f"both{end}", points)
    return found["affine"]


def smooth(shape):
    z, y, x = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return np.stack([0.1 * np.sin(z / 5 + i) + 0.08 * np.cos(y / 4 - i) + 0.05 * np.sin(x / 6 + 2 * i)
                     for i in range(3)], -1)


def test_fields(root, affine):
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.3, -0.2, 0.5)
    for name, axes in (("along the axes", np.eye(3)), ("axes turned round", np.diag([-1.0, -1, 1])),
                       ("axes exchanged", np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]])),
                       ("oblique", np.array(turn.GetMatrix()).reshape(3, 3))):
        image = sitk.GetImageFromArray(smooth(SIZE[::-1]), isVector=True)
        image.SetSpacing((0.1, 0.09, 0.08))
        image.SetOrigin((-0.1, 0.2, -0.05))
        image.SetDirection(axes.ravel().tolist())
        index = rng.uniform(0.02, 0.98, (300, 3)) * (np.array(SIZE) - 1)
        points = np.array([image.TransformContinuousIndexToPhysicalPoint(tuple(map(float, i))) for i in index])
        points = points[:, ::-1] * 1000
        for end in (".nii", ".nii.gz", ".nrrd"):
            path = root / f"field{len(rows)}{end}"
            sitk.WriteImage(image, str(path))
            again = sitk.DisplacementFieldTransform(sitk.Cast(sitk.ReadImage(str(path)), sitk.sitkVectorFloat64))
            compare(root, f"SimpleITK field {name} {end}", again, path, points)
        # the same as displacements of NIfTI's own kind, 1006: along right, anterior, superior
        theirs = nibabel.load(root / f"field{len(rows) - 3}.nii")
        vectors = np.asarray(theirs.dataobj) * np.array([-1, -1, 1])
        other = nibabel.Nifti1Image(vectors, theirs.affine, theirs.header)
        other.header.set_intent("displacement vector")
        nibabel.save(other, root / "dispvect.nii.gz")
        compare(root, f"NIfTI displacements {name}", again, root / "dispvect.nii.gz", points)
        field = sitk.DisplacementFieldTransform(sitk.Image(image))
        for what, t in (("field", field), ("composite", sitk.CompositeTransform([affine, field]))):
            path = root / f"field{len(rows)}.h5"
            sitk.WriteTransform(t, str(path))
            compare(root, f"SimpleITK {what} {name} .h5", t, path, points)


def test_bigstream(root):
    """[z, y, x, 3] of micrometres, components z y x, as bigstream turns it into ITK's: reversed, origin 0."""
    u = (smooth(SIZE[::-1]) * 20).astype("f4")
    z = zarr.create_array(root / "bigstream.zarr", shape=u.shape, chunks=(16, 16, 16, 1), dtype="f4", zarr_format=2)
    z[:] = u
    image = sitk.GetImageFromArray(u[..., ::-1].astype("f8"), isVector=True)
    image.SetSpacing((2.0, 3.0, 4.0))
    points = rng.uniform(0.02, 0.98, (300, 3)) * (np.array(SIZE[::-1]) - 1) * (4, 3, 2)
    t = sitk.DisplacementFieldTransform(image)
    compare(root, "bigstream's layout, spacing said", t, f"spacing=4,3,2:{root}/bigstream.zarr", points, um=1)
    z.attrs["pixelResolution"], z.attrs["downsamplingFactors"] = [1, 1, 1.5, 2], [1, 2, 2, 2]
    compare(root, "bigstream's layout, spacing told", t, root / "bigstream.zarr", points, um=1)


def written(root):
    """What `compose` writes for ITK, read and evaluated by SimpleITK, against `points` on what it was made of."""
    rows_of = np.hstack([np.eye(3) + rng.normal(0, 0.05, (3, 3)), rng.normal(0, 40, (3, 1))])
    np.savetxt(root / "rows.txt", rows_of)
    u = (smooth(SIZE[::-1]) * 20).astype("f4")
    zarr.create_array(root / "ours.zarr", shape=u.shape, chunks=(16, 16, 16, 3), dtype="f4", zarr_format=2)[:] = u
    lattice = f"origin=30,-20,10:spacing=4,3,2:{root}/ours.zarr"
    points = rng.uniform(0.02, 0.98, (300, 3)) * (np.array(SIZE[::-1]) - 1) * (4, 3, 2) + (30, -20, 10)
    for end in (".tfm", ".txt", ".mat", ".nii", ".nii.gz", ".nrrd"):
        is_field, path = end[1] == "n", root / f"written{end}"
        chain = [lattice, str(root / "rows.txt")][not is_field:]
        command = [PROGRAM, "compose", "-q", *chain, str(path), "--format", "itk", "--chunk", "8"]
        r = subprocess.run(command, capture_output=True, text=True)
        if r.returncode:
            print(r.stderr.strip(), file=sys.stderr)
            rows.append((f"written {end}", np.nan))
            continue
        if is_field:
            t = sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))
        else:
            t = sitk.ReadTransform(str(path))
        through = points
        for step in chain:
            through = ours(root, step, through)
        theirs = np.array([t.TransformPoint(tuple(map(float, p[::-1] / 1000)))[::-1] for p in points]) * 1000
        rows.append((f"written {end}", np.abs(theirs - through).max()))
    subprocess.run([PROGRAM, "compose", "-q", f"spacing=4,3,2:{root}/ours.zarr", str(root / "rows.txt"),
                    str(root / "written.zarr"), "--format", "bigstream", "--chunk", "8"], check=True)
    again = zarr.open_array(root / "written.zarr", mode="r")
    image = sitk.GetImageFromArray(again[:][..., ::-1].astype("f8"), isVector=True)
    image.SetSpacing(again.attrs["pixelResolution"][1:])
    t = sitk.DisplacementFieldTransform(image)
    points = rng.uniform(0.02, 0.98, (300, 3)) * (np.array(SIZE[::-1]) - 1) * (4, 3, 2)
    through = ours(root, root / "rows.txt", ours(root, f"spacing=4,3,2:{root}/ours.zarr", points))
    theirs = np.array([t.TransformPoint(tuple(map(float, p[::-1])))[::-1] for p in points])
    rows.append(("written as bigstream has it", np.abs(theirs - through).max()))


def main():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        test_fields(root, test_affines(root))
        test_bigstream(root)
        written(root)
    bad = [row for row in rows if not row[1] < 1e-3]
    for what, error in bad:
        print(f"DIFFERS: {what}: {error:.3g} um", file=sys.stderr)
    print(f"{len(rows) - len(bad)} of {len(rows)} transforms equal, largest error {max(e for _, e in rows):.2g} um")
    return bool(bad)


sys.exit(main())
