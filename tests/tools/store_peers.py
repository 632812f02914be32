"""store_peers.py STORE_RATIOS FOLDER [SIDE]: the same files read by collimate, tensorstore and zarr-python: a
cube of SIDE (512) voxels, and one of a chunk's size that straddles 8 chunks. Least CPU and wall seconds of five
readings; collimate uses one thread, the others as many as they like, so CPU seconds compare the work and wall
seconds depend on what else the machine does. Needs both in this Python (scripts/interop's venv)."""

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
CHUNK = 64


def voxels():
    rng = np.random.default_rng(1)
    z, y, x = np.ogrid[:side, :side, :side]
    return (200 + (z // 16 * 7 + y // 8 * 5 + x // 4 * 3) % 900 + rng.poisson(30, (side, side, side))).astype("u2")


def least(read):
    cpu = wall = 1e9
    for _ in range(5):
        c, w = time.process_time(), time.perf_counter()
        read()
        cpu, wall = min(cpu, time.process_time() - c), min(wall, time.perf_counter() - w)
    return cpu, wall


def main():
    a = voxels()
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {
        "zarr3": {"driver": "zarr3", "metadata": {
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [CHUNK] * 3}},
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "blosc", "configuration": {
                "cname": "zstd", "clevel": 1, "shuffle": "bitshuffle", "typesize": 2}}]}},
        "n5": {"driver": "n5", "metadata": {"blockSize": [CHUNK] * 3, "compression": {"type": "gzip"}}}}
    for kind, spec in kinds.items():
        path = folder / f"peers.{kind}"
        shutil.rmtree(path, ignore_errors=True)
        spec = {**spec, "kvstore": {"driver": "file", "path": str(path)}}
        t = ts.open({**spec, "create": True}, dtype="uint16", shape=a.shape).result()
        t.write(a.T if kind == "n5" else a).result()
        for what, lo, n in (("whole", 0, side), ("straddling", CHUNK // 2, CHUNK)):
            box = (slice(lo, lo + n),) * 3
            rows = {"tensorstore": least(lambda: t[box].read().result())}
            if kind == "zarr3":
                z = zarr.open(path, mode="r")
                rows["zarr-python"] = least(lambda: z[box])
            out = subprocess.run([program, path, f"{lo},{lo},{lo}", str(n)], capture_output=True, text=True, check=True)
            cpu, wall = map(float, out.stdout.split())
            print(f"{kind:6} {what:10} collimate {cpu:8.4f} s CPU {wall:8.4f} s" + "".join(
                f"   {name} {c:8.4f} s CPU (x{c / cpu:.2f}) {w:8.4f} s (x{w / wall:.2f})" for name, (c, w) in rows.items()))
        shutil.rmtree(path)


main()
