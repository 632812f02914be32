"""store_peers.py STORE_RATIOS FOLDER [SIDE [THREADS]]: the same files read and written by collimate, tensorstore and
zarr-python: a cube of SIDE voxels (512; 448 at least), one of a chunk's size that straddles 8 chunks, bars that straddle
7 along x and along z, and the whole written again. Each is held to THREADS (1). Least CPU and wall seconds of five, of
the small boxes of 25; in brackets the peer's over ours. CPU seconds compare the work, wall seconds depend on what else
the machine does. tensorstore writes with and without fsync. collimate's peak memory is beyond the voxels. Needs both in
this Python (scripts/interop's venv)."""

import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
import tensorstore as ts
import zarr

program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
side = int(sys.argv[3]) if len(sys.argv) > 3 else 512
threads = int(sys.argv[4]) if len(sys.argv) > 4 else 1
CHUNK = 64

zarr.config.set({"threading.max_workers": threads, "async.concurrency": threads})


def context(**more):
    limit = {"limit": threads}
    return ts.Context({"data_copy_concurrency": limit, "file_io_concurrency": limit, **more})


def voxels():
    rng = np.random.default_rng(1)
    z, y, x = np.ogrid[:side, :side, :side]
    return (200 + (z // 16 * 7 + y // 8 * 5 + x // 4 * 3) % 900 + rng.poisson(30, (side, side, side))).astype("u2")


def least(run, before=lambda: None, times=5):
    cpu = wall = 1e9
    for _ in range(times):
        given = before()
        c, w = time.process_time(), time.perf_counter()
        run() if given is None else run(given)
        cpu, wall = min(cpu, time.process_time() - c), min(wall, time.perf_counter() - w)
    return cpu, wall


def line(kind, what, ours, rows):
    cpu, wall, peak = ours
    print(f"{kind:6} {what:10} collimate {cpu:8.4f} s CPU {wall:8.4f} s {peak:5.1f} MB" + "".join(
        f"   {name} {c:8.4f} s CPU (x{c / cpu:.2f}) {w:8.4f} s (x{w / wall:.2f})" for name, (c, w) in rows.items()),
        flush=True)


def ours(*arguments):
    out = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=True)
    return map(float, out.stdout.split())


KINDS = {
    "zarr3": {"driver": "zarr3", "metadata": {
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [CHUNK] * 3}},
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "blosc", "configuration": {
            "cname": "zstd", "clevel": 1, "shuffle": "bitshuffle", "typesize": 2}}]}},
    "n5": {"driver": "n5", "metadata": {"blockSize": [CHUNK] * 3, "compression": {"type": "gzip"}}}}


def create(kind, path, shape, **more):
    shutil.rmtree(path, ignore_errors=True)
    spec = {**KINDS[kind], "kvstore": {"driver": "file", "path": str(path)}}
    return ts.open(spec, create=True, dtype="uint16", shape=shape, context=context(**more)).result()


def create_zarr(path, a):
    shutil.rmtree(path, ignore_errors=True)
    return zarr.create_array(path, shape=a.shape, chunks=(CHUNK,) * 3, dtype=a.dtype, compressors=zarr.codecs.BloscCodec(
        cname="zstd", clevel=1, shuffle="bitshuffle", typesize=2))


def main():
    a = voxels()
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        path = folder / f"peers.{kind}"
        t = create(kind, path, a.shape, file_io_sync=False)
        t.write(a.T if kind == "n5" else a).result()
        half, bar = CHUNK // 2, 6 * CHUNK
        for what, lo, n in (("whole", (0, 0, 0), (side,) * 3), ("8 chunks", (half,) * 3, (CHUNK,) * 3),
                            ("7 along x", (0, 0, half), (CHUNK, CHUNK, bar)),
                            ("7 along z", (half, 0, 0), (bar, CHUNK, CHUNK))):
            box = tuple(slice(b, b + k) for b, k in zip(lo, n))
            theirs = box[::-1] if kind == "n5" else box
            times = 5 if what == "whole" else 25
            rows = {"tensorstore": least(lambda: t[theirs].read().result(), times=times)}
            if kind == "zarr3":
                z = zarr.open(path, mode="r")
                rows["zarr-python"] = least(lambda: z[box], times=times)
            line(kind, what, ours("read", path, "{},{},{}".format(*lo), "{},{},{}".format(*n), threads), rows)
        out = folder / f"out.{kind}"
        rows = {}
        for name, sync in (("tensorstore", False), ("tensorstore fsync", True)):
            rows[name] = least(lambda t: t.write(a.T if kind == "n5" else a).result(),
                               lambda: create(kind, out, a.shape, file_io_sync=sync))
        if kind == "zarr3":
            rows["zarr-python"] = least(lambda z: z.__setitem__(slice(None), a), lambda: create_zarr(out, a))
        line(kind, "write", ours("write", path, out, threads), rows)
        shutil.rmtree(out)
        shutil.rmtree(path)


main()
