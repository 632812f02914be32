"""The peers, each run as its own documentation says, in a process of its own that this file is the main of:

    python tools.py TOOL JOB.json

JOB.json: fixed, moving (NIfTI in the pair's unit, upright), reference (4 x 4, z y x), threads, out (folder),
multimodal. A tool leaves field.npy: displacement of the fixed grid, [3, z, y, x], z y x, in that unit.
"""
import ast
import json
import os
import sys
from pathlib import Path

import numpy as np


def xyz(m):
    """an affine in z y x as one in x y z"""
    m = np.asarray(m, float)
    return m[[2, 1, 0, 3]][:, [2, 1, 0, 3]]


def itk_affine(job):
    import SimpleITK as sitk

    m = xyz(job["reference"])
    t = sitk.AffineTransform(3)
    t.SetMatrix(m[:3, :3].ravel().tolist())
    t.SetTranslation(m[:3, 3].tolist())
    return t


def save_transform(job, transform):
    """an ITK transform of points, fixed to moving, as field.npy"""
    import SimpleITK as sitk

    fixed = sitk.ReadImage(job["fixed"])
    f = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat32, fixed.GetSize(), fixed.GetOrigin(), fixed.GetSpacing(), fixed.GetDirection())
    save_field(job, f)


def save_field(job, image):
    import SimpleITK as sitk

    u = sitk.GetArrayFromImage(image)[..., ::-1]
    np.save(Path(job["out"]) / "field.npy", np.moveaxis(u, -1, 0).astype(np.float32))


def greedy(job, affine=True, deform=True):
    """affine from the reference, then greedy deformation, NCC 4x4x4 as in its tutorial; NMI across modalities"""
    import SimpleITK as sitk
    from picsl_greedy import GreedyFloat3D as Greedy

    out = Path(job["out"])
    flip = np.diag([-1, -1, 1, 1.0])
    np.savetxt(out / "start.mat", flip @ xyz(job["reference"]) @ flip)  # greedy speaks RAS
    metric = "NMI" if job["multimodal"] else "NCC 4x4x4"
    g, start = Greedy(), out / "start.mat"
    images = f"-i {job['fixed']} {job['moving']} -m {metric} -threads {job['threads']}"
    if affine:
        dof = 6 if job["rigid"] or job["multimodal"] else 12  # twelve across modalities run away
        g.execute(f"-d 3 -a -dof {dof} {images} -ia {start} -n 100x50x10 -o {out}/affine.mat")
        start = out / "affine.mat"
    final = np.loadtxt(start)
    whole = sitk.AffineTransform(3)
    lps = flip @ final @ flip
    whole.SetMatrix(lps[:3, :3].ravel().tolist())
    whole.SetTranslation(lps[:3, 3].tolist())
    if job["rigid"] or not deform:
        return save_transform(job, whole)
    g.execute(f"-d 3 {images} -it {start} -n 100x50x10 -o {out}/warp.nii.gz")
    warp = sitk.Cast(sitk.ReadImage(f"{out}/warp.nii.gz"), sitk.sitkVectorFloat64)
    both = sitk.CompositeTransform(3)  # the last one added is applied first
    both.AddTransform(whole)
    both.AddTransform(sitk.DisplacementFieldTransform(warp))
    save_transform(job, both)


def greedy_affine(job):
    """its intensity affine alone"""
    greedy(job, deform=False)


def greedy_deform(job):
    """deformation straight from the reference: what research tables of the expansion pair have"""
    greedy(job, affine=False)


def elastix(job, grid_vox=16):
    """affine, then cubic B-splines with a node every 16 voxels, by its default parameter maps"""
    import itk

    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(job["threads"])
    out = Path(job["out"])
    import SimpleITK as sitk

    m = xyz(job["reference"])
    numbers = " ".join(f"{v:.17g}" for v in [*m[:3, :3].ravel(), *m[:3, 3]])
    (out / "start.txt").write_text(
        '(Transform "AffineTransform")\n(NumberOfParameters 12)\n'
        f"(TransformParameters {numbers})\n"
        '(InitialTransformParametersFileName "NoInitialTransform")\n(HowToCombineTransforms "Compose")\n'
        "(FixedImageDimension 3)\n(MovingImageDimension 3)\n(CenterOfRotationPoint 0 0 0)\n")
    fixed, moving = itk.imread(job["fixed"], itk.F), itk.imread(job["moving"], itk.F)
    p = itk.ParameterObject.New()
    f = sitk.ReadImage(job["fixed"])
    extent = [s * (n - 1) for s, n in zip(f.GetSpacing(), f.GetSize())]
    levels = 3 if min(f.GetSize()) < 32 else 4
    stages = ["rigid"] if job["rigid"] else ["affine", "bspline"]
    for stage in stages:
        spacing = min(max(f.GetSpacing()) * grid_vox, max(extent))
        one = p.GetDefaultParameterMap(stage, levels, spacing)
        one["AutomaticTransformInitialization"] = ["false"]
        if not job["multimodal"]:
            one["Metric"] = [v.replace("AdvancedMattesMutualInformation", "AdvancedNormalizedCorrelation") for v in one["Metric"]]
        one["WriteResultImage"] = ["false"]
        p.AddParameterMap(one)
    e = itk.ElastixRegistrationMethod.New(fixed, moving)
    e.SetParameterObject(p)
    e.SetInitialTransformParameterFileName(str(out / "start.txt"))
    e.SetNumberOfThreads(job["threads"])
    e.SetOutputDirectory(str(out))
    e.UpdateLargestPossibleRegion()
    chain, found = p.New(), e.GetTransformParameterObject()
    chain.ReadParameterFile(str(out / "start.txt"))
    for k in range(found.GetNumberOfParameterMaps()):
        chain.AddParameterMap(found.GetParameterMap(k))
    t = itk.TransformixFilter.New(moving)
    t.SetTransformParameterObject(chain)
    t.SetComputeDeformationField(True)
    t.UpdateLargestPossibleRegion()
    u = itk.array_from_image(t.GetOutputDeformationField())[..., ::-1]
    np.save(out / "field.npy", np.moveaxis(u, -1, 0).astype(np.float32))


def elastix_fine(job):
    """the same with a node every 8 voxels"""
    elastix(job, 8)


def ants(job, **more):
    """SyN with its defaults: affine by mutual information from the reference, then symmetric diffeomorphism"""
    import ants as a
    import SimpleITK as sitk

    out = Path(job["out"])
    sitk.WriteTransform(itk_affine(job), str(out / "start.mat"))
    fixed, moving = a.image_read(job["fixed"]), a.image_read(job["moving"])
    r = a.registration(fixed, moving, "Rigid" if job["rigid"] else "SyN", initial_transform=[str(out / "start.mat")],
                       outprefix=str(out / "ants-"), random_seed=1, **more)
    both = sitk.CompositeTransform(3)
    for name in reversed(r["fwdtransforms"]):
        both.AddTransform(warp_or_affine(name))
    save_transform(job, both)


def ants_cc(job):
    """SyN by local correlation, radius 4, 100x70x50x20 iterations, as ANTs' own script for SyN has it"""
    ants(job, syn_metric="CC", syn_sampling=4, reg_iterations=(100, 70, 50, 20))


def warp_or_affine(name):
    import SimpleITK as sitk

    if str(name).endswith((".nii", ".nii.gz")):
        return sitk.DisplacementFieldTransform(sitk.Cast(sitk.ReadImage(str(name)), sitk.sitkVectorFloat64))
    return sitk.ReadTransform(str(name))


def bigstream_run(job, steps, static):
    import SimpleITK as sitk
    from bigstream.align import alignment_pipeline

    f, m = sitk.ReadImage(job["fixed"]), sitk.ReadImage(job["moving"])
    spacing = [np.array(i.GetSpacing()[::-1]) for i in (f, m)]
    origin = [np.array(i.GetOrigin()[::-1]) for i in (f, m)]
    data = [sitk.GetArrayFromImage(i) for i in (f, m)]
    return f, alignment_pipeline(*data, *spacing, steps, fix_origin=origin[0], mov_origin=origin[1],
                                 static_transform_list=static, return_format="independent")


def bigstream(job):
    """affine and deform steps with the values of its shipped example, from the reference"""
    import SimpleITK as sitk

    reference = np.asarray(job["reference"], float)
    fixed = sitk.ReadImage(job["fixed"])
    s = max(fixed.GetSpacing())
    descent = dict(alignment_spacing=2 * s, shrink_factors=(2,), smooth_sigmas=(2 * s,),
                   optimizer_args=dict(learningRate=0.25, minStep=0.0, numberOfIterations=1000))
    steps = [("rigid" if job["rigid"] else "affine", descent)]
    if not job["rigid"]:
        steps.append(("deform", dict(smooth_sigmas=(s,), control_point_spacing=30 * s, control_point_levels=(1,),
                                     optimizer_args=dict(learningRate=2.5, minStep=0.0, numberOfIterations=25))))
    fixed, found = bigstream_run(job, steps, [reference])
    spacing, origin = np.array(fixed.GetSpacing()[::-1]), np.array(fixed.GetOrigin()[::-1])
    save_list(job, fixed, [reference] + list(found if isinstance(found, (list, tuple)) else [found]), spacing, origin)


def save_list(job, fixed, transforms, spacing, origin):
    """bigstream's order: the last of the list is applied first to a fixed point"""
    shape = fixed.GetSize()[::-1]
    axes = [origin[d] + spacing[d] * np.arange(shape[d]) for d in range(3)]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    y = x.copy()
    for t in reversed(transforms):
        t = t[1] if isinstance(t, tuple) else t
        t = np.asarray(t)
        if t.shape == (4, 4):
            y = y @ t[:3, :3].T + t[:3, 3]
        else:
            y = y + t
    np.save(Path(job["out"]) / "field.npy", np.moveaxis(y - x, -1, 0).astype(np.float32))


def bigstream_ransac(job):
    """its global stage from nothing: blobs, correlation, RANSAC"""
    fixed, found = bigstream_run(job, [("ransac", dict(blob_sizes=[6, 14], nspots=2000, num_sigma_max=7))], [])
    spacing, origin = np.array(fixed.GetSpacing()[::-1]), np.array(fixed.GetOrigin()[::-1])
    save_list(job, fixed, list(found if isinstance(found, (list, tuple)) else [found]), spacing, origin)


TOOLS = {t.__name__.replace("_", "-"): t
         for t in (greedy, greedy_affine, greedy_deform, elastix, elastix_fine, ants, ants_cc, bigstream, bigstream_ransac)}
WHAT = {name: t.__doc__.split("\n")[0] for name, t in TOOLS.items()}
PACKAGES = {name: {"greedy": "picsl-greedy", "elastix": "itk-elastix", "ants": "antspyx"}.get(name.split("-")[0], "bigstream")
            for name in TOOLS}
DEFINITIONS = {d.name: d for d in ast.parse(Path(__file__).read_text()).body if isinstance(d, ast.FunctionDef)}


def settings(tool):
    """the code that a tool's run is made of, without comments and layout: other code, other figures"""
    reached, queue = {}, [TOOLS[tool].__name__]
    while queue:
        name = queue.pop()
        if name not in reached:
            reached[name] = ast.unparse(DEFINITIONS[name])
            queue += [n.id for n in ast.walk(DEFINITIONS[name]) if isinstance(n, ast.Name) and n.id in DEFINITIONS]
    return [reached[name] for name in sorted(reached)]


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[2]).read_text())
    for key in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "ITK_THREADS", "OPENBLAS_NUM_THREADS",
                "OPENCV_FOR_THREADS_NUM"):
        os.environ[key] = str(given["threads"])
    TOOLS[sys.argv[1]](given)
