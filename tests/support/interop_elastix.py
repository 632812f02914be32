"""interop_elastix.py: for scripts/interop. Point lists of elastix, forth and back: `points` and transformix, as
itk-elastix has it, take the same list (points, indices of the fixed image, with and without the word) through the same
transform; transformix reads the list that `points` writes, and `points` the outputpoints.txt that transformix writes.
Fails where a point is off by more than 0.002 micrometres: transformix writes to 0.001, here up to twice."""

import os
import pathlib
import subprocess
import sys
import tempfile

import itk
import numpy as np

PROGRAM = os.environ["COLLIMATE"]
SIZE, SPACING, ORIGIN = np.array((28, 24, 20)), np.array((0.02, 0.03, 0.04)), np.array((0.1, -0.2, 0.3))  # x y z, mm
AFFINE = (1.05, 0.02, 0.01, -0.03, 0.97, 0.02, 0.01, 0.03, 1.02, 0.05, -0.04, 0.02)
FIRST = (0.1, -0.05, 0.2, 0.01, 0.02, -0.03)
rng = np.random.default_rng(5)
rows = []


def parameters(path, kind, values, initial="NoInitialTransform"):
    def said(v):
        return " ".join(map(str, v))

    path.write_text(
        f'(Transform "{kind}")\n(NumberOfParameters {len(values)})\n(TransformParameters {said(values)})\n'
        f'(InitialTransformParametersFileName "{initial}")\n(HowToCombineTransforms "Compose")\n'
        '(FixedImageDimension 3)\n(MovingImageDimension 3)\n(FixedInternalImagePixelType "float")\n'
        f'(MovingInternalImagePixelType "float")\n(Size {said(SIZE)})\n(Index 0 0 0)\n(Spacing {said(SPACING)})\n'
        f'(Origin {said(ORIGIN)})\n(Direction 1 0 0 0 1 0 0 0 1)\n(UseDirectionCosines "true")\n'
        '(CenterOfRotationPoint 0.3 0.2 0.1)\n(ResampleInterpolator "FinalLinearInterpolator")\n'
        '(Resampler "DefaultResampler")\n(DefaultPixelValue 0)\n')
    return path


def transformix(root, transform, points):
    """What it writes of this list, [n, 3] x y z."""
    image = itk.image_from_array(np.zeros(SIZE[::-1], "f4"))
    image.SetSpacing(SPACING.tolist())
    image.SetOrigin(ORIGIN.tolist())
    p = itk.ParameterObject.New()
    p.ReadParameterFile(str(transform))
    t = itk.TransformixFilter.New(image)
    t.SetTransformParameterObject(p)
    t.SetFixedPointSetFileName(str(points))
    t.SetOutputDirectory(str(root))
    t.SetLogToConsole(False)
    t.Update()
    lines = (root / "outputpoints.txt").read_text().splitlines()
    return np.array([line.split("OutputPoint = [")[1].split("]")[0].split() for line in lines], float)


def run(*args):
    r = subprocess.run([PROGRAM, "points", "-q", *map(str, args)], capture_output=True, text=True)
    if r.returncode:
        sys.exit(f"points {' '.join(map(str, args))}: {r.stderr.strip()}")


def listed(path):
    head, count, *lines = path.read_text().splitlines()
    assert head == "point" and int(count) == len(lines)
    return np.array([line.split() for line in lines], float)


def compare(what, got, want):
    rows.append((what, np.abs(got - want).max() * 1e3))


with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    affine = parameters(root / "affine.txt", "AffineTransform", AFFINE)
    euler = parameters(root / "euler.txt", "EulerTransform", FIRST, affine)  # the affine first
    at = rng.uniform(ORIGIN, ORIGIN + SPACING * SIZE, (40, 3))
    index = rng.integers(0, SIZE, (40, 3))
    given, out, table = root / "given.txt", root / "out.txt", root / "out.csv"
    for what, head, body in (("points", "point\n40\n", at), ("indices", "index\n40\n", index), ("bare", "40\n", index)):
        given.write_text(head + "\n".join(" ".join(map(str, p)) for p in body) + "\n")
        for name, transform in (("affine", affine), ("affine, then Euler", euler)):
            theirs = transformix(root, transform, given)
            run(transform, given, out)
            compare(f"{what}, {name}", listed(out), theirs)
            run(transform, given, table)
            compare(f"{what}, {name}, as a table", np.loadtxt(table, delimiter=",", skiprows=1, usecols=(2, 1, 0)) / 1e3, theirs)

    # each goes on with what the other wrote: after the affine, a rotation
    turn = parameters(root / "turn.txt", "EulerTransform", FIRST)
    given.write_text("point\n40\n" + "\n".join(" ".join(map(str, p)) for p in at) + "\n")
    run(affine, given, out)
    by_ours = transformix(root, turn, out)
    transformix(root, affine, given)
    run(turn, root / "outputpoints.txt", out)
    compare("one after the other", listed(out), by_ours)
    table.write_text("id,y,x,z\n" + "".join(f"7,{y * 1e3},{x * 1e3},{z * 1e3}\n" for x, y, z in at))
    run(affine, table, out, "--list")
    compare("a table as a list", transformix(root, turn, out), by_ours)
    run(affine, out, given, "--direction", "inverse")
    compare("and back", listed(given), at)

failed = [row for row in rows if not row[1] <= 2e-3]
for what, off in rows:
    print(f"{what:40} {off:<10.3g} {'DIFFERS' if off > 2e-3 else ''}")
print(f"elastix: {len(rows) - len(failed)} of {len(rows)} point lists agree")
sys.exit(bool(failed))
