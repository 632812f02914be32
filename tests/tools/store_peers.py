"""store_peers.py STORE_RATIOS FOLDER [SIDE [THREADS [KIND]]]: the same files read and written by collimate, tensorstore and
zarr-python: a cube of SIDE voxels (512; 448 at least), one of a chunk's size that straddles 8 chunks, bars that straddle
7 along x and along z, and the whole written again. Each is held to THREADS (1), and to as many processors: tensorstore's
one thread is one that encodes and one that writes. Least CPU and wall seconds of five, of the small boxes of 25; in
brackets the peer's over ours. CPU seconds compare the work, wall seconds depend on what else the machine does. All
write in turn, each time into a new folder on a disk at rest, since ext4 makes files slowly where others were removed in
the last minutes; "synced" is tensorstore with fsync of each file and collimate with one syncfs at the end. collimate's
peak memory is beyond the voxels. Needs both in this Python (scripts/interop's venv)."""

import os
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
kinds = sys.argv[5:] or ["zarr3", "n5"]
CHUNK = 64

os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
zarr.config.set({"threading.max_workers": threads, "async.concurrency": threads})


def context(**more):
    limit = {"limit": threads}
    return ts.Context({"data_copy_concurrency": limit, "file_io_concurrency": limit, **more})


def voxels():
    rng = np.random.default_rng(1)
    z, y, x = np.ogrid[:side, :side, :side]
    return (200 + (z // 16 * 7 + y // 8 * 5 + x // 4 * 3) % 900 + rng.poisson(30, (side, side, side))).astype("u2")


def seconds(run):
    c, w = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - c, time.perf_counter() - w


def least(rounds):
    return tuple(map(min, zip(*rounds)))


def line(kind, what, ours, rows):
    cpu, wall, peak = ours
    print(f"{kind:6} {what:10} collimate {cpu:8.4f} s CPU {wall:8.4f} s {peak:5.1f} MB" + "".join(
        f"   {name} {c:8.4f} s CPU (x{c / cpu:.2f}) {w:8.4f} s (x{w / wall:.2f})" for name, (c, w) in rows.items()),
        flush=True)


def start(*arguments, **more):
    return subprocess.Popen([program, *map(str, arguments)], stdout=subprocess.PIPE, text=True, **more)


def read(path, lo, n):
    return map(float, start("read", path, ",".join(map(str, lo)), ",".join(map(str, n)), threads).communicate()[0].split())


KINDS = {
    "zarr3": {"driver": "zarr3", "metadata": {
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [CHUNK] * 3}},
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "blosc", "configuration": {
            "cname": "zstd", "clevel": 1, "shuffle": "bitshuffle", "typesize": 2}}]}},
    "n5": {"driver": "n5", "metadata": {"blockSize": [CHUNK] * 3, "compression": {"type": "gzip"}}}}


def create(kind, path, shape, sync=False):
    spec = {**KINDS[kind], "kvstore": {"driver": "file", "path": str(path)}}
    return ts.open(spec, create=True, dtype="uint16", shape=shape, context=context(file_io_sync=sync)).result()


def create_zarr(path, a):
    return zarr.create_array(path, shape=a.shape, chunks=(CHUNK,) * 3, dtype=a.dtype, compressors=zarr.codecs.BloscCodec(
        cname="zstd", clevel=1, shuffle="bitshuffle", typesize=2))


def write(kind, path, a):
    out = folder / f"out.{kind}"
    ours = start("write", path, threads, stdin=subprocess.PIPE)
    took = {}
    for k in range(5):
        os.sync()
        print(out / f"collimate.{k}", file=ours.stdin, flush=True)
        *s, peak = map(float, ours.stdout.readline().split())
        took.setdefault("collimate", []).append(s[:2])
        took.setdefault("collimate synced", []).append(s[2:])
        for name, sync in (("tensorstore", False), ("tensorstore synced", True)):
            t = create(kind, out / f"{name}.{k}", a.shape, sync)
            os.sync()
            took.setdefault(name, []).append(seconds(lambda: t.write(a.T if kind == "n5" else a).result()))
        if kind == "zarr3":
            z = create_zarr(out / f"zarr-python.{k}", a)
            os.sync()
            took.setdefault("zarr-python", []).append(seconds(lambda: z.__setitem__(slice(None), a)))
    ours.stdin.close()
    ours.wait()
    rows = {name: least(rounds) for name, rounds in took.items()}
    synced = {name.split()[0]: rows.pop(name) for name in list(rows) if name.endswith("synced")}
    for what, row in (("write", rows), ("synced", synced)):
        line(kind, what, (*row.pop("collimate"), peak), row)


def main():
    a = voxels()
    folder.mkdir(parents=True)
    for kind in kinds:
        path = folder / f"peers.{kind}"
        t = create(kind, path, a.shape)
        t.write(a.T if kind == "n5" else a).result()
        half, bar = CHUNK // 2, 6 * CHUNK
        for what, lo, n in (("whole", (0, 0, 0), (side,) * 3), ("8 chunks", (half,) * 3, (CHUNK,) * 3),
                            ("7 along x", (0, 0, half), (CHUNK, CHUNK, bar)),
                            ("7 along z", (half, 0, 0), (bar, CHUNK, CHUNK))):
            box = tuple(slice(b, b + k) for b, k in zip(lo, n))
            theirs = box[::-1] if kind == "n5" else box
            times = 5 if what == "whole" else 25
            rows = {"tensorstore": least(seconds(lambda: t[theirs].read().result()) for _ in range(times))}
            if kind == "zarr3":
                z = zarr.open(path, mode="r")
                rows["zarr-python"] = least(seconds(lambda: z[box]) for _ in range(times))
            line(kind, what, read(path, lo, n), rows)
        write(kind, path, a)
    shutil.rmtree(folder)


main()
