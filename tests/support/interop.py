"""interop.py [PYTHON_WITH_ZARR_2]: for scripts/interop. Arrays of many kinds by live peers, read by collimate;
arrays by collimate, read by live peers; every voxel compared. Prints a table, fails on any difference."""

import importlib
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

PROGRAM = os.environ["COLLIMATE"]
SHAPE, CHUNK = (13, 22, 37), (8, 10, 16)
TYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"]
table = {}  # (peer, direction) -> [same, all]


def module(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


zarr, ts, z5 = module("zarr"), module("tensorstore"), module("z5py")
h5py, tifffile = module("h5py"), module("tifffile")
nibabel, nrrd = module("nibabel"), module("nrrd")


def voxels(kind, shape=SHAPE):
    """Smooth plus noise, and the ends of the type's range."""
    rng = np.random.default_rng(sum(map(ord, kind)))
    a = np.add.outer(np.add.outer(np.arange(shape[0]) * 3, np.arange(shape[1])), np.arange(shape[2]))
    a = a + rng.integers(0, 5, shape)
    a = a.astype(kind)
    if kind[0] in "iu":
        a.flat[0], a.flat[-1] = np.iinfo(kind).min, np.iinfo(kind).max
    else:
        a.flat[0], a.flat[-1] = -1.5e30, np.nan
    return a


def count(peer, direction, what, same):
    row = table.setdefault((peer, direction), [0, 0])
    row[0] += bool(same)
    row[1] += 1
    if not same:
        print(f"DIFFERS: {peer} {direction}: {what}", file=sys.stderr)


def run(*args):
    r = subprocess.run([PROGRAM, *map(str, args)], capture_output=True)
    if r.returncode:
        print(f"{' '.join(map(str, args))}: {r.stderr.decode().strip()}", file=sys.stderr)
    return r.stdout if r.returncode == 0 else None


def we_read(peer, path, want, what):
    raw = np.ascontiguousarray(want).astype(want.dtype.newbyteorder("<")).tobytes()
    count(peer, "writes, we read", f"{path} {what}", run("dump", path) == raw)


def equal(got, want):
    got = np.asarray(got)
    return got.shape == want.shape and got.dtype.newbyteorder("=") == want.dtype and (
        got.astype(want.dtype).tobytes() == want.tobytes())


# ---- they write ----

def by_zarr(root):
    from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ZstdCodec

    codecs = [None, BloscCodec(cname="lz4", shuffle="shuffle"), BloscCodec(cname="zstd", shuffle="bitshuffle"),
              GzipCodec(level=3), ZstdCodec(level=5, checksum=True), Crc32cCodec()]
    n = 0
    for kind, codec in itertools.product(TYPES, codecs):
        for shard in (None, (16, 20, 32)):
            a, path = voxels(kind), root / f"v3_{n}"
            n += 1
            z = zarr.create_array(path, shape=SHAPE, chunks=CHUNK, shards=shard, dtype=kind, fill_value=0,
                                  compressors=codec)
            z[:] = a
            we_read("zarr 3 (v3)", path, a, f"{kind} {codec} shard {shard}")
    for kind, big in itertools.product(TYPES, (False, True)):
        a, path = voxels(kind), root / f"v3e_{kind}_{big}"
        z = zarr.create_array(path, shape=SHAPE, chunks=CHUNK, dtype=kind, fill_value=0, compressors=None,
                              serializer=BytesCodec(endian="big" if big else "little") if kind[1] != "1" else "auto")
        z[:] = a
        we_read("zarr 3 (v3)", path, a, f"{kind} big {big}")
    import numcodecs
    for kind, order, codec in itertools.product(
            TYPES, "CF", [None, numcodecs.Zlib(1), numcodecs.Zstd(3), numcodecs.LZ4(), numcodecs.BZ2(1),
                          numcodecs.Blosc("zstd", 1, 2), numcodecs.Blosc("lz4", 5, 1)]):
        a, path = voxels(kind), root / f"v2_{n}"
        n += 1
        z = zarr.create_array(path, shape=SHAPE, chunks=CHUNK, dtype=(">" if n % 2 else "<") + kind, order=order,
                              zarr_format=2, compressors=codec, fill_value=0)
        z[:] = a
        we_read("zarr 3 (v2)", path, a, f"{kind} {order} {codec}")


def by_tensorstore(root):
    def put(path, spec, a):
        spec = {"kvstore": {"driver": "file", "path": str(path)}, "create": True, **spec}
        ts.open(spec, dtype=a.dtype, shape=a.shape).result().write(a).result()

    for kind in TYPES:
        a = voxels(kind)
        for i, codecs in enumerate((
                [{"name": "bytes"}], [{"name": "bytes"}, {"name": "gzip"}],
                [{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 2}}],
                [{"name": "transpose", "configuration": {"order": [2, 0, 1]}}, {"name": "bytes"}, {"name": "crc32c"}],
                [{"name": "bytes"}, {"name": "blosc", "configuration": {"cname": "zstd", "clevel": 3,
                                                                        "shuffle": "shuffle"}}])):
            path = root / f"ts3_{kind}_{i}"
            put(path, {"driver": "zarr3", "metadata": {
                "codecs": codecs, "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": CHUNK}}}}, a)
            we_read("tensorstore (zarr3)", path, a, f"{kind} {codecs}")
            path = root / f"ts3s_{kind}_{i}"
            shard = [{"name": "sharding_indexed", "configuration": {
                "chunk_shape": CHUNK, "codecs": codecs, "index_location": "start" if i % 2 else "end",
                "index_codecs": [{"name": "bytes"}, {"name": "crc32c"}]}}]
            put(path, {"driver": "zarr3", "metadata": {
                "codecs": shard, "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": (16, 20, 32)}}}}, a)
            we_read("tensorstore (zarr3)", path, a, f"{kind} shards {codecs}")
        for i, how in enumerate(({"type": "raw"}, {"type": "gzip"}, {"type": "bzip2"}, {"type": "xz"},
                                 {"type": "zstd"}, {"type": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1})):
            path = root / f"tsn5_{kind}_{i}"
            put(path, {"driver": "n5", "metadata": {"blockSize": CHUNK[::-1], "compression": how}}, a.T)
            we_read("tensorstore (n5)", path, a, f"{kind} {how}")
        for i, how in enumerate((None, {"id": "zlib"}, {"id": "bz2"}, {"id": "zstd", "level": 1},
                                 {"id": "blosc", "cname": "zstd", "clevel": 1, "shuffle": 2})):
            path = root / f"ts2_{kind}_{i}"
            put(path, {"driver": "zarr", "metadata": {"chunks": CHUNK, "compressor": how, "order": "CF"[i % 2]}}, a)
            we_read("tensorstore (zarr)", path, a, f"{kind} {how}")


def by_z5(root):
    for ext, kinds in (("n5", ("raw", "gzip", "blosc")), ("zarr", ("raw", "zlib", "blosc"))):
        f = z5.File(str(root / f"z5.{ext}"), mode="a", use_zarr_format=ext == "zarr")
        for kind, how in itertools.product(TYPES, kinds):
            a = voxels(kind)
            f.create_dataset(f"{kind}_{how}", data=a, chunks=CHUNK, compression=how)
            we_read(f"z5py ({ext})", root / f"z5.{ext}" / f"{kind}_{how}", a, how)


def by_files(root):
    for kind in TYPES:
        a = voxels(kind)
        if h5py:
            with h5py.File(root / f"{kind}.h5", "w") as f:
                for name, more in (("plain", {}), ("gzip", {"chunks": CHUNK, "compression": "gzip", "shuffle": True}),
                                   ("lzf", {"chunks": CHUNK, "compression": "lzf"}),
                                   ("sum", {"chunks": CHUNK, "fletcher32": True})):
                    f.create_dataset(f"g/{name}", data=a, **more)
            for name in ("plain", "gzip", "lzf", "sum"):
                we_read("h5py", root / f"{kind}.h5" / "g" / name, a, name)
        if tifffile and kind not in ("u8", "i8"):
            for name, more in (("plain", {}), ("big", {"bigtiff": True}), ("zlib", {"compression": "zlib"}),
                               ("tiles", {"tile": (16, 16)})):
                path = root / f"{kind}_{name}.tif"
                tifffile.imwrite(path, a, photometric="minisblack", **more)
                we_read("tifffile", path, a, name)
        if nibabel:
            for name in ("nii", "nii.gz"):
                path = root / f"{kind}.{name}"
                nibabel.save(nibabel.Nifti1Image(a.T, np.eye(4), dtype=a.dtype), path)
                we_read("nibabel", path, a, name)
        if nrrd:
            for name in ("raw", "gzip"):
                path = root / f"{kind}_{name}.nrrd"
                nrrd.write(str(path), a.T, {"encoding": name})
                we_read("pynrrd", path, a, name)


# ---- we write ----

OLD = """
import json, sys, zarr, numpy
for path in json.load(sys.stdin):
    a = zarr.open(path, mode='r')[:]
    numpy.save(path + '.npy', a)
"""


def open_ts(driver, path):
    return ts.open({"driver": driver, "kvstore": {"driver": "file", "path": str(path)}}).result().read().result()


def we_write(root, old):
    zarr2 = []
    for kind in TYPES:
        a = voxels(kind)
        source = root / f"in_{kind}.nrrd"
        nrrd.write(str(source), a.T, {"encoding": "raw", "spacings": [1, 2, 3]})
        for i, (ext, options) in enumerate((
                ("ome.zarr", ("--chunk", "8,10,16")), ("ome.zarr", ("--chunk", "8", "--shard", "16")),
                ("ome.zarr", ("--codec", "gzip", "--chunk", "9")), ("ome.zarr", ("--codec", "none")),
                ("ome.zarr", ("--codec", "zstd:3", "--chunk", "8", "--shard", "16,24,40")),
                ("zarr", ("--format", "ome-zarr-0.4", "--chunk", "8,10,16")),
                ("zarr", ("--format", "ome-zarr-0.4", "--codec", "zlib")),
                ("zarr", ("--format", "ome-zarr-0.4", "--codec", "none")),
                ("n5", ("--chunk", "8,10,16")), ("n5", ("--codec", "zstd")), ("n5", ("--codec", "blosc")),
                ("n5", ("--codec", "none")), ("nii", ()), ("nii.gz", ()), ("nrrd", ()))):
            path = root / f"out_{kind}_{i}.{ext}"
            if run("convert", "-q", "--spacing", "1", *options, source, path) is None:
                count("collimate", "writes", str(path), False)
                continue
            what = f"{kind} {ext} {' '.join(options)}"
            v3, reads = ext == "ome.zarr", "reads ours"
            if ext in ("ome.zarr", "zarr"):
                count("zarr 3 (v3)" if v3 else "zarr 3 (v2)", reads, what, equal(zarr.open(path / "s0", mode="r")[:], a))
                if ts:
                    name = "zarr3" if v3 else "zarr"
                    count(f"tensorstore ({name})", reads, what, equal(open_ts(name, path / "s0"), a))
                if z5 and not v3 and "0.4" in what and "--codec" in options:
                    count("z5py (zarr)", reads, what, equal(z5.File(str(path), mode="r")["s0"][:], a))
                check_models(path, v3, what)
                check_viewers(path, a, what)
                if not v3:
                    zarr2.append((str(path / "s0"), a, what))
            elif ext == "n5":
                if ts:
                    count("tensorstore (n5)", reads, what, equal(open_ts("n5", path / "s0").T, a))
                if z5 and "zstd" not in options:
                    count("z5py (n5)", reads, what, equal(z5.File(str(path), mode="r")["s0"][:], a))
            elif ext.startswith("nii") and nibabel:
                count("nibabel", reads, what, equal(np.asarray(nibabel.load(path).dataobj).T, a))
            elif ext == "nrrd":
                count("pynrrd", reads, what, equal(nrrd.read(str(path))[0].T, a))
    if old:
        r = subprocess.run([old, "-c", OLD], input=json.dumps([p for p, _, _ in zarr2]), text=True, capture_output=True)
        for path, a, what in zarr2:
            there = os.path.exists(path + ".npy")
            count("zarr 2 (v2)", "reads ours", what + r.stderr[-300:] * (not there), there and equal(np.load(path + ".npy"), a))


def check_models(path, v3, what):
    version = module("ome_zarr_models.v05" if v3 else "ome_zarr_models.v04")
    if not version:
        return
    try:
        version.Image.from_zarr(zarr.open_group(path, mode="r"))
        count("ome-zarr-models", "reads ours", what, True)
    except Exception as e:  # whatever it says, it is a no
        count("ome-zarr-models", "reads ours", f"{what}: {e}", False)


def check_viewers(path, a, what):
    """What ome-zarr-py, and napari's reader by it, make of the pyramid: voxels, axes, one unit of spacing."""
    if module("ome_zarr"):
        import logging
        logging.getLogger("ome_zarr").setLevel(logging.ERROR)  # which tells that 0.4 is not 0.5
        from ome_zarr.io import parse_url
        from ome_zarr.reader import Reader
        image = next(iter(Reader(parse_url(str(path)))()))
        place = image.metadata["coordinateTransformations"][0]
        count("ome-zarr-py", "reads ours", what, equal(image.data[0], a) and place[0]["scale"] == [1, 1, 1] and
              [x["unit"] for x in image.metadata["axes"]] == ["micrometer"] * 3)
    if module("napari_ome_zarr"):
        layer = module("napari_ome_zarr").napari_get_reader(str(path))(str(path))[0]
        count("napari-ome-zarr", "reads ours", what, equal(layer[0][0], a))


def main():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for present, by in ((zarr, by_zarr), (ts, by_tensorstore), (z5, by_z5), (True, by_files)):
            if present:
                by(root)
        if nrrd:
            we_write(root, sys.argv[1] if len(sys.argv) > 1 else "")
    same, total = (sum(row[i] for row in table.values()) for i in (0, 1))
    for (peer, direction), row in sorted(table.items()):
        print(f"{peer:22} {direction:16} {row[0]:4} of {row[1]:4} {'' if row[0] == row[1] else 'DIFFER'}")
    for name in ("zarr", "tensorstore", "z5py", "h5py", "tifffile", "nibabel", "nrrd", "ome_zarr_models", "ome_zarr"):
        if not module(name):
            print(f"{name:22} not installed here")
    print(f"{same} of {total} arrays equal")
    return 0 if total and same == total else 1


sys.exit(main())
