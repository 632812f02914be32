"""interop_files.py [SEED [COUNT]]: for scripts/interop. As interop_random.py, by the programs that write files: h5py with
its own filters and hdf5plugin's, Imaris's layout by h5py, tifffile, nibabel, pynrrd, and z5py. Also where OME-TIFF's
voxels are, against ome-types. More of them: interop_files.py 2 500."""

import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from interop_random import COUNT, PROGRAM, TYPES, chance, compare, part, pick, some, voxels


def have(name):
    return importlib.util.find_spec(name) is not None


def by_h5py(path, kind, shape, chunk):
    import h5py
    import hdf5plugin as more

    a, options = voxels(kind, shape), {}
    if chance(0.9):
        options["chunks"] = tuple(min(c, n) for c, n in zip(chunk, shape))
        options |= pick([{}, {"compression": "gzip", "compression_opts": some(10)}, {"compression": "lzf"},
                         {"scaleoffset": 0} if kind[0] in "iu" else {}, {"compression": "szip"} if kind[0] in "iuf" else {},
                         dict(more.Zstd(clevel=some(10))), dict(more.LZ4(nbytes=pick([0, 64, 1 << 15]))),
                         dict(more.Blosc(cname=pick(["lz4", "zstd", "blosclz", "zlib", "lz4hc"]), clevel=some(9),
                                         shuffle=pick([0, 1, 2])))])
        options["shuffle"] = chance(0.3) and "scaleoffset" not in options
        options["fletcher32"] = chance(0.3) and "scaleoffset" not in options
        if chance(0.3):
            options["maxshape"] = (None,) * len(shape)
    stored = np.dtype(pick(["<", ">"]) + kind) if a.itemsize > 1 else a.dtype
    fill = np.dtype(kind).type(pick([0, 3]))
    with h5py.File(path, "w", libver=("earliest", "v110") if chance(0.5) else "v110") as f:
        d = f.create_dataset("a/b", shape, stored, fillvalue=fill, **options)
        where = part(shape)
        d[where] = a[where]
        return d[...].astype(kind), f"{stored} {options}", path / "a/b"


def by_imaris(path, kind, shape, chunk):
    """Padded to whole chunks, the true size and the extents in letters."""
    import h5py

    shape, chunk = tuple(some(30) for _ in range(3)), tuple(some(12) for _ in range(3))
    a, path = voxels(pick(["u1", "u2", "f4"]), shape), path.with_suffix(".ims")
    padded = [-(-n // c) * c for n, c in zip(shape, chunk)]

    def letters(text):
        if chance(0.5):  # as Imaris does; some add NULs
            text += "\0" * (some(4) - 1)
        return np.array([c.encode() for c in text], "S1")

    with h5py.File(path, "w") as f:
        channel = f.create_group("DataSet/ResolutionLevel 0/TimePoint 0/Channel 0")
        d = channel.create_dataset("Data", padded, a.dtype, chunks=chunk, compression=pick(["gzip", None]))
        d[tuple(slice(n) for n in shape)] = a
        image = f.create_group("DataSetInfo/Image")
        for axis, n in zip("ZYX", shape):
            channel.attrs[f"ImageSize{axis}"] = letters(str(n))
        for k in range(3):
            image.attrs[f"ExtMin{k}"] = letters(f"{-3.5 * k:.3f}")
            image.attrs[f"ExtMax{k}"] = letters(f"{shape[2 - k] * 0.25 - 3.5 * k:.3f}")
        image.attrs["Unit"] = letters("um")
    told = json.loads(subprocess.run([PROGRAM, "info", "--json", str(path)], capture_output=True).stdout)["levels"][0]
    assert told["shape"] == list(shape), told
    if not np.allclose(told["spacing_um"] + told["origin_um"], [0.25] * 3 + [-6.875, -3.375, 0.125]):
        a = a + 1  # so that it differs
    return a, f"{a.dtype} {shape} {chunk} {told}", path / "DataSet/ResolutionLevel 0/TimePoint 0/Channel 0/Data"


def by_tifffile(path, kind, shape, chunk):
    import tifffile

    shape, path = tuple(some(40) for _ in range(3)), path.with_suffix(pick([".tif", ".ome.tif", ".tiff"]))
    kind = "f4" if kind[0] in "c?" else kind  # of complex numbers or bits it is refused
    a, options = voxels(kind, shape), {}
    if chance(0.5):
        options["compression"] = pick(["zlib", "lzw", "zstd", "packbits", "lzma", "adobe_deflate"])
        if kind != "?" and kind[0] != "c" and options["compression"] not in ("packbits",) and chance(0.5):
            options["predictor"] = True
    if chance(0.4):
        options["tile"] = (16 * some(3), 16 * some(3))
    elif chance(0.5):
        options["rowsperstrip"] = some(20)
    if chance(0.2) and kind in ("u1", "u2", "i2", "f4") and ".ome" not in path.name and "tile" not in options:
        options["imagej"] = True
    tifffile.imwrite(path, a, photometric="minisblack", bigtiff=chance(0.3) and "imagej" not in options,
                     byteorder=">" if "imagej" in options else pick("<>"), **options)
    return tifffile.imread(path).reshape(shape), options, path


def by_nibabel(path, kind, shape, chunk):
    import nibabel

    n = pick([2, 3, 4])
    a = voxels(kind, tuple(some(20) for _ in range(n)))
    path = path.with_suffix(pick([".nii", ".nii.gz"]))
    header = nibabel.Nifti1Header if chance(0.5) else nibabel.Nifti2Header
    image = nibabel.Nifti1Image if header is nibabel.Nifti1Header else nibabel.Nifti2Image
    h = header(endianness=pick("<>"))
    h.set_data_dtype(a.dtype)
    nibabel.save(image(a.T, np.diag([2.0, 3, 4, 1]), h, dtype=a.dtype), path)
    return np.asarray(nibabel.load(path).dataobj).T.astype(kind), f"{header.__name__} {h.endianness}", path


def by_nrrd(path, kind, shape, chunk):
    import nrrd

    a, path = voxels(kind, shape), path.with_suffix(".nrrd")
    header = {"encoding": pick(["raw", "gzip", "bzip2", "ascii"]), "endian": pick(["little", "big"])}
    detached = header["encoding"] != "ascii" and chance(0.3)
    a = a.astype(a.dtype.newbyteorder("<" if header["endian"] == "little" else ">"))
    if header["encoding"] == "ascii":
        del header["endian"]
        a = a.astype(kind)
    if detached:
        path = path.with_suffix(".nhdr")
    nrrd.write(str(path), a.T, header, detached_header=detached)
    return nrrd.read(str(path))[0].T.astype(kind), f"{header} detached {detached}", path


def by_z5(path, kind, shape, chunk):
    import z5py

    zarr = chance(0.5)
    kind, path = pick(TYPES[:8] + ["f4", "f8"]), path.with_suffix(".zarr" if zarr else ".n5")
    how = pick(["raw", "blosc", "gzip" if not zarr else "zlib"] + ([] if zarr else ["bzip2", "xz", "lz4"]))
    f = z5py.File(str(path), mode="w")
    a = voxels(kind, shape)
    d = f.create_dataset("g/a", shape=shape, dtype=a.dtype.name, compression=how,
                         chunks=tuple(min(c, n) for c, n in zip(chunk, shape)))
    where = part(shape)
    d[where] = a[where]
    return d[...], f"{how} zarr {zarr}", path / "g/a"


UM = {"µm": 1, "nm": 1e-3, "mm": 1e3, "pm": 1e-6, "cm": 1e4, "Å": 1e-4, "in": 25400, "m": 1e6, "dm": 1e5, "yd": 914400}


def ome_tiff_places():
    """Physical sizes in several units and orders, told alike by ome-types and by us."""
    import ome_types
    import tifffile

    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for i, unit in enumerate(UM):
            path, shape = pathlib.Path(folder) / f"{i}.ome.tif", tuple(some(9) + 1 for _ in range(3))
            size = {f"PhysicalSize{c}": 0.5 * some(9) for c in "ZYX"}
            tifffile.imwrite(path, voxels("u2", shape), photometric="minisblack",
                             metadata={"axes": "ZYX", **size, **{f"PhysicalSize{c}Unit": unit for c in "ZYX"}})
            pixels = ome_types.from_tiff(path).images[0].pixels
            want = [getattr(pixels, f"physical_size_{c}") * UM[getattr(pixels, f"physical_size_{c}_unit").value] for c in "zyx"]
            r = subprocess.run([PROGRAM, "info", "--json", str(path)], capture_output=True, text=True)
            got = json.loads(r.stdout)["levels"][0] if r.returncode == 0 else {}
            if got.get("shape") != list(shape) or not np.allclose(got["spacing_um"], want, rtol=1e-12):
                bad += 1
                print(f"DIFFERS: ome-types: {unit} {shape} {want}: {got} {r.stderr}", file=sys.stderr)
    print(f"{'ome-types':22} voxel sizes of OME-TIFF {'told alike' if not bad else 'DIFFER'}")
    return bad


# what is called like that writes with it
WRITERS = {("h5py", "hdf5plugin"): by_h5py, ("h5py",): by_imaris, ("tifffile", "imagecodecs"): by_tifffile, ("nibabel",): by_nibabel,
           ("nrrd",): by_nrrd, ("z5py",): by_z5}
here = {by.__name__[3:]: by for names, by in WRITERS.items() if all(map(have, names))}
failed = compare(here)
for names, by in WRITERS.items():
    if by not in here.values():
        print(f"{by.__name__[3:]:22} not installed here: {' or '.join(names)}")
if have("ome_types") and have("tifffile"):
    failed += ome_tiff_places()
sys.exit(failed > 0 or not here)
