"""scripts/bench-peers, in Python: runs tools on pairs, scores what they leave, writes tables."""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import pairs
import report
import score
import tools
from volume import affine_field, collimate_map, grid


def arguments():
    p = argparse.ArgumentParser(prog="scripts/bench-peers", description=__doc__)
    p.add_argument("--pairs", default="", help="names or beginnings of names, by commas; default: all")
    p.add_argument("--tools", default="", help=f"collimate, collimate-start, {', '.join(tools.TOOLS)}; default: all")
    p.add_argument("--threads", default="1,2", help="numbers of threads, by commas (default: 1,2)")
    p.add_argument("--quick", action="store_true", help="the first pair of each family, one thread, no slow tool")
    p.add_argument("--limit", type=float, default=1800, help="seconds that a tool may take (default: 1800)")
    p.add_argument("--again", action="store_true", help="run what an earlier call has done already, too")
    p.add_argument("--page", default="", help="replace the tables between the marks of this Markdown page")
    for name in ("collimate", "data", "out", "python", "python-bigstream"):  # absolute, by scripts/bench-peers
        p.add_argument(f"--{name}", required=True, help=argparse.SUPPRESS)
    return p.parse_args()


def measured(command, env, work, limit):
    """wall, user + system seconds and the largest process in MB, as the operating system counts them"""
    told, t, late = work / "use.json", time.monotonic(), False
    launcher = [sys.executable, "-S", str(Path(__file__).with_name("child.py")), str(told)]
    with open(work / "log", "w") as log:
        child = subprocess.Popen(launcher + command, stdout=log, stderr=subprocess.STDOUT, env=env, cwd=work, start_new_session=True)
        try:
            child.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            late = True
    wall = time.monotonic() - t
    use = {"code": -9, "cpu_s": None, "peak_mb": None} if late else json.loads(told.read_text())
    return use | {"wall_s": wall, "late": late}


def environment(threads):
    env = dict(os.environ)
    for key in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "ITK_THREADS", "OPENBLAS_NUM_THREADS"):
        env[key] = str(threads)
    return env


def run_collimate(args, pair, threads, work, from_start):
    command = [args.collimate, "align", "--fixed", str(pair.fixed_path), "--moving", str(pair.moving_path),
               "--out", str(work / "run"), *pair.options, "--set", f"threads={threads}"]
    if from_start:
        m = pair.reference.copy()
        m[:3, 3] *= pair.unit_um
        command += ["--set", "global.method=given", "--set", "global.affine=" + json.dumps(m[:3].ravel().tolist())]
    use = measured(command, dict(environment(1)), work, args.limit)
    if use["code"] in (0, 1) and (work / "run/transform.ome.zarr/zarr.json").exists():
        x = grid(pair.fixed)
        flat = x.reshape(3, -1)
        u = np.concatenate([collimate_map(work / "run/transform.ome.zarr", part, pair.unit_um) - part
                            for part in np.array_split(flat, 16, axis=1)], axis=1)
        np.save(work / "field.npy", u.reshape(x.shape).astype(np.float32))
        if use["code"] == 1:
            use["note"] = "some blocks failed"
    return use


def write_canonical(args, pair):
    """the same voxels for every peer: NIfTI, upright, in the pair's unit"""
    import SimpleITK as sitk

    folder = Path(args.out) / "images" / pair.name
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, v in (("fixed", pair.fixed), ("moving", pair.moving)):
        path = folder / f"{name}.nii"
        if not path.exists():
            image = sitk.GetImageFromArray(v.data)
            image.SetSpacing([float(s) for s in v.spacing[::-1]])
            image.SetOrigin([float(o) for o in v.origin[::-1]])
            sitk.WriteImage(image, str(path))
        paths.append(str(path))
    return paths


def run_peer(args, pair, tool, threads, work):
    fixed, moving = write_canonical(args, pair)
    job = {"fixed": fixed, "moving": moving, "reference": pair.reference.tolist(), "threads": threads,
           "out": str(work), "multimodal": pair.kind == "multimodal",
           "rigid": "global.model=rigid" in pair.options}
    (work / "job.json").write_text(json.dumps(job))
    python = args.python_bigstream if tool.startswith("bigstream") else args.python
    command = [python, str(Path(__file__).with_name("tools.py")), tool, str(work / "job.json")]
    return measured(command, environment(threads), work, args.limit)


def reason(work):
    lines = [s.strip() for s in (work / "log").read_text(errors="replace").splitlines() if s.strip()]
    told = [s for s in lines if s.startswith("collimate") or "rror" in s or "xception" in s]
    return (told or lines or ["no output"])[-1][:160]


def one(args, pair, tool, threads):
    work = Path(args.out) / "runs" / f"{pair.name}_{tool}_{threads}"
    result = work / "result.json"
    if result.exists() and not args.again:
        return json.loads(result.read_text())
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    r = {"pair": pair.name, "tool": tool, "threads": threads}
    if pair.fixed is None:
        pair.load()
    if tool in ("identity", "reference"):
        u = affine_field(np.eye(4) if tool == "identity" else pair.reference, pair.fixed)
        r |= score.figures(pair, u)
    else:
        if tool.startswith("collimate"):
            r |= run_collimate(args, pair, threads, work, tool == "collimate-start")
        else:
            r |= run_peer(args, pair, tool, threads, work)
        field = work / "field.npy"
        if field.exists():
            r |= score.figures(pair, np.load(field))
            field.unlink()
        else:
            r["failed"] = "took too long" if r["late"] else reason(work)
    result.write_text(json.dumps(r, indent=1))
    return r


def main():
    args = arguments()
    data = Path(args.data)
    if not data.is_dir():
        sys.exit(f"no data at {data}: set CLM_DATA")
    threads = [1] if args.quick else [int(t) for t in args.threads.split(",")]
    wanted = [t for t in args.tools.split(",") if t] or ["collimate", "collimate-start", *tools.TOOLS]
    if args.quick:
        wanted = [t for t in wanted if t not in ("bigstream-ransac", "greedy-deform", "ants-cc")]
    found = []
    for pair in pairs.choose(data, [p for p in args.pairs.split(",") if p], args.quick):
        for tool in ["identity", "reference", *wanted]:
            for n in threads if tool not in ("identity", "reference") else [0]:
                r = one(args, pair, tool, n)
                found.append(r)
                print(report.line(r), flush=True)
        pair.fixed = pair.moving = None
    report.write(args, found)


if __name__ == "__main__":
    main()
