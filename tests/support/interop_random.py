"""interop_random.py [SEED [COUNT]]: for scripts/interop. COUNT (60) arrays by each of zarr-python 3 and tensorstore, of
shapes, chunks, types, fill values, codecs, filters and shards drawn at random from SEED (1), some written in part, read
by `collimate dump` and by their writers. What a writer refuses to make is left out. Prints a table, fails on any
difference. More of them: interop_random.py 2 2000."""

import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np

warnings.simplefilter("ignore")
PROGRAM = os.environ["COLLIMATE"]
TYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "?", "c8", "c16"]
rng = np.random.default_rng(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 60


def pick(choices):
    return choices[int(rng.integers(len(choices)))]


def chance(p):
    return rng.random() < p


def some(most):
    return int(rng.integers(1, most))


def shapes():
    most = pick([(200,), (60, 60), (24, 24, 24), (12, 12, 12, 12), (8, 8, 8, 8, 8)])
    shape = tuple(some(n) for n in most)
    return shape, tuple(max(some(n + 4), n // 6 + 1) for n in shape)


def voxels(kind, shape):
    style = rng.integers(3)
    if kind[0] in "iu":
        ends = np.iinfo(kind)
        a = rng.integers(ends.min, ends.max, shape, dtype=kind, endpoint=True)
        return a if style == 0 else np.where(rng.random(shape) < 0.05, a, np.array(0, kind))
    if kind == "?":
        return rng.random(shape) < 0.5
    a = rng.normal(size=shape) * (style > 0) + (1j * rng.normal(size=shape) if kind[0] == "c" else 0)
    return a.astype(kind)


def fill_of(kind):
    if kind[0] in "iu":
        return int(pick([0, 7, np.iinfo(kind).min, np.iinfo(kind).max]))
    return {"?": True, "f": pick([0, 1.5, "NaN", "-Infinity"]), "c": 0}[kind[0]]


def part(shape):
    return tuple(slice(0, max(1, n // 2) if chance(0.3) else n) for n in shape)


def order(n):
    return [int(k) for k in rng.permutation(n)]


def transposed(n, p):
    return [{"name": "transpose", "configuration": {"order": order(n)}}] if chance(p) else []


def packed(size):
    return pick([[], [{"name": "gzip", "configuration": {"level": 1}}],
                 [{"name": "zstd", "configuration": {"level": 1, "checksum": True}}],
                 [{"name": "blosc", "configuration": {"cname": pick(["lz4", "zstd", "zlib", "blosclz"]), "clevel": some(9),
                                                      "shuffle": pick(["noshuffle", "shuffle", "bitshuffle"]),
                                                      "typesize": size, "blocksize": 0}}]]) + (
        [{"name": "crc32c"}] if chance(0.3) else [])


def by_tensorstore(path, kind, shape, chunk):
    import tensorstore as ts

    def to_bytes():
        return {"name": "bytes", "configuration": {"endian": pick(["little", "big"])}}

    a, outer = voxels(kind, shape), list(chunk)
    codecs = [*transposed(len(shape), 0.3), to_bytes(), *packed(a.itemsize)]
    for _ in range(pick([0, 1, 1, 2])):  # shards, and shards of shards
        codecs = [{"name": "sharding_indexed", "configuration": {
            "chunk_shape": outer, "codecs": codecs, "index_location": pick(["start", "end"]),
            "index_codecs": [to_bytes(), *([{"name": "crc32c"}] if chance(0.7) else [])]}}]
        outer = [n * some(4) for n in outer]
        if chance(0.3):  # the shard is cut from what is transposed before it
            turn = order(len(shape))
            codecs = [{"name": "transpose", "configuration": {"order": turn}}, *codecs]
            outer = [outer[turn.index(d)] for d in range(len(shape))]
        if chance(0.2):
            codecs.append(pick([{"name": "crc32c"}, {"name": "gzip", "configuration": {"level": 1}}]))
    meta = {"codecs": codecs, "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": outer}},
            "chunk_key_encoding": {"name": pick(["default", "v2"]), "configuration": {"separator": pick("./")}}}
    if kind[0] in "iuf":
        meta["data_type"] = {"i": "int", "u": "uint", "f": "float"}[kind[0]] + str(8 * a.itemsize)
        meta["fill_value"] = fill_of(kind)
    t = ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}, "metadata": meta},
                create=True, dtype=a.dtype, shape=shape).result()
    where = part(shape)
    t[where].write(a[where]).result()
    return t.read().result(), meta


def by_zarr(path, kind, shape, chunk):
    import numcodecs
    import zarr

    a, version, more = voxels(kind, shape), pick([2, 3]), {}
    swapped = pick(["<", ">"]) + kind if a.itemsize > 1 else a.dtype.str
    filters = [pick([numcodecs.Shuffle(a.itemsize), numcodecs.CRC32(), numcodecs.Fletcher32(), numcodecs.Adler32(),
                     *([numcodecs.Delta(swapped)] if kind[0] in "iu" else []),
                     *([numcodecs.BitRound(8)] if kind in ("f4", "f8") else []),
                     *([numcodecs.PackBits()] if kind == "?" else [])])] if chance(0.4) else []
    if version == 2:
        how = pick([None, numcodecs.Zlib(1), numcodecs.Zstd(3), numcodecs.LZ4(), numcodecs.BZ2(1), numcodecs.LZMA(preset=1),
                    numcodecs.Blosc(pick(["lz4", "zstd"]), some(9), pick([-1, 0, 1, 2]))])
        more = {"order": pick("CF"), "chunk_key_encoding": {"name": "v2", "separator": pick("./")}, "dtype": swapped}
    else:
        from zarr.codecs import numcodecs as v3
        how = [zarr.registry.get_codec_class(c["name"]).from_dict(c) for c in packed(a.itemsize)] or None
        filters = [v3.Delta(dtype=a.dtype.str)] if kind[0] in "iu" and chance(0.3) else []
        turn = [zarr.codecs.TransposeCodec(order=tuple(order(len(shape))))] if chance(0.3) and not filters else []
        # numcodecs' own reading of big-endian deltas is wrong
        endian = "little" if filters else pick(["little", "big"])
        filters += turn
        if chance(0.15):  # shards by hand, behind a filter that takes each element by itself
            each = [v3.BitRound(keepbits=8)] if kind in ("f4", "f8") else []
            if kind in ("u1", "u2", "i1", "i2"):
                each = [v3.AsType(encode_dtype="<i4", decode_dtype=np.dtype(kind).str)]
            piece = tuple(chunk[d] for d in turn[0].order) if turn else chunk  # cut from what is transposed before
            shard = zarr.codecs.ShardingCodec(chunk_shape=piece, codecs=[zarr.codecs.BytesCodec(endian=endian)])
            z = zarr.create_array(path, shape=shape, chunks=tuple(n * some(3) for n in chunk), dtype=kind, compressors=None,
                                  filters=each + turn, serializer=shard, fill_value=np.dtype(kind).type(3))
            z[...] = a
            return z[...], f"v3 shards behind {each + turn}"
        more = {"dtype": kind, "serializer": zarr.codecs.BytesCodec(endian=endian) if a.itemsize > 1 else "auto",
                "shards": tuple(n * some(4) for n in chunk) if chance(0.4) else None}
    fill = fill_of(kind)
    fill = {"NaN": np.nan, "-Infinity": -np.inf}.get(fill, fill)
    z = zarr.create_array(path, shape=shape, chunks=chunk, zarr_format=version, compressors=how,
                          filters=filters or None, fill_value=np.dtype(kind).type(fill), **more)
    where = part(shape)
    z[where] = a[where]
    return z[...], f"v{version} {filters} {how} {more}"


def compare(writers):
    """writers: name -> by(path, kind, shape, chunk), which writes below path and returns the array as its own program
    reads it, what it is like, and, where it is not path, where it is. How many differ or could not be made."""
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, by in writers.items():
            same = made = 0
            for i in range(COUNT):
                path, kind, (shape, chunk) = pathlib.Path(folder) / f"{name}-{i}", pick(TYPES), shapes()
                try:
                    want, what, *where = by(path, kind, shape, chunk)
                except Exception as e:  # its writer cannot make this one; too few made is a failure
                    if os.environ.get("WHY"):
                        print(f"not made: {name} {kind} {shape}: {e}", file=sys.stderr)
                    continue
                made += 1
                r = subprocess.run([PROGRAM, "dump", str(where[0] if where else path)], capture_output=True)
                want = np.ascontiguousarray(want)
                equal = r.returncode == 0 and r.stdout == want.astype(want.dtype.newbyteorder("<")).tobytes()
                same += equal
                if not equal:
                    print(f"DIFFERS: {name} {i}: {kind} {shape} {chunk} {what} {r.stderr.decode()}", file=sys.stderr)
            print(f"{name:22} writes at random, we read {same:4} of {made:4} {'' if same == made else 'DIFFER'}")
            bad += same != made or made < COUNT // 2
    return bad


if __name__ == "__main__":
    sys.exit(compare({"tensorstore": by_tensorstore, "zarr 3": by_zarr}) > 0)
