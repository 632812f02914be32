"""scripts/bench-peers, in Python: runs tools on pairs, scores what they leave, keeps a row each, writes tables."""
import argparse
import hashlib
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
from rows import Rows
from volume import affine_field, collimate_map, grid

OWN = ("collimate", "collimate-start", "collimate-defaults")
GIVEN = ("identity", "reference")  # transforms that nobody has to find
SLOW = ("ants-cc", "bigstream", "bigstream-ransac", "greedy-deform")
SAME_CODE = 1  # raised when score.py or volume.py give other figures than before


def arguments():
    p = argparse.ArgumentParser(prog="scripts/bench-peers", description=__doc__)
    p.add_argument("--pairs", default="", help="names or beginnings of names, by commas; default: all")
    p.add_argument("--tools", default="", help=f"{', '.join([*OWN, *tools.TOOLS])}; default: all")
    p.add_argument("--threads", default="", help="numbers of threads, by commas (default: 1; for the expansion pair 1,2)")
    p.add_argument("--quick", action="store_true", help="the first pair of each family, one thread, no slow tool")
    p.add_argument("--limit", type=int, default=1800, help="CPU seconds that a tool may take (default: 1800)")
    p.add_argument("--again", action="store_true", help="run what is kept already, too")
    p.add_argument("--page", default="", help="replace the tables between the marks of this Markdown page, and the picture")
    p.add_argument("--fields", default="", help="keep each tool's displacement field in this folder, as .npy")
    for name in ("collimate", "data", "rows", "out", "python", "python-bigstream"):  # absolute, by scripts/bench-peers
        p.add_argument(f"--{name}", required=True, help=argparse.SUPPRESS)
    return p.parse_args()


def busy_s():
    """seconds that all processors together were not idle since the start, those taken by other guests included"""
    with open("/proc/stat") as f:
        user, nice, system, _, _, irq, soft, steal = map(int, f.readline().split()[1:9])
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def measured(command, env, work, limit):
    """wall, CPU seconds, memory (child.py); load at the start; processors that others had meanwhile"""
    told, t, busy = work / "use.json", time.monotonic(), busy_s()
    use = {"load": os.getloadavg()[0]}
    launcher = [sys.executable, "-S", str(Path(__file__).with_name("child.py")), str(told), str(limit)]
    with open(work / "log", "w") as log:
        child = subprocess.Popen(launcher + command, stdout=log, stderr=subprocess.STDOUT, env=env, cwd=work, start_new_session=True)
        try:
            child.wait(limit * 20)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if child.poll() is None:  # late, or this program was told to end
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    wall = time.monotonic() - t
    use |= json.loads(told.read_text()) if told.exists() else {"code": -signal.SIGKILL}
    use["wall_s"] = wall
    use["others"] = max(0.0, (busy_s() - busy - use.get("cpu_s", 0)) / wall)
    return use


def environment(threads):
    env = dict(os.environ)
    for key in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "ITK_THREADS", "OPENBLAS_NUM_THREADS"):
        env[key] = str(threads)
    return env


def own_options(pair, tool):
    """what the program is asked; without the preset; or from the reference: that as it is, refined where it is the identity"""
    if tool == "collimate-defaults":
        at = pair.options.index("--preset")
        return pair.options[:at] + pair.options[at + 2 :]
    if tool == "collimate":
        return pair.options
    kept = [o for o in pair.options if o != "--any-rotation"]
    if np.array_equal(pair.reference, np.eye(4)):
        return kept + pairs.settings("global.method=identity")
    m = pair.reference.copy()
    m[:3, 3] *= pair.unit_um
    return kept + pairs.settings("global.method=given", "global.affine=" + json.dumps(m[:3].ravel().tolist()))


def run_collimate(args, pair, tool, threads, work):
    command = [args.collimate, "align", "--fixed", str(pair.fixed_path), "--moving", str(pair.moving_path),
               "--out", str(work / "run"), *own_options(pair, tool), "--set", f"threads={threads}"]
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
           "out": str(work), "multimodal": pair.kind == "multimodal", "rigid": pair.rigid}
    (work / "job.json").write_text(json.dumps(job))
    command = [interpreter(args, tool), str(Path(__file__).with_name("tools.py")), tool, str(work / "job.json")]
    return measured(command, environment(threads), work, args.limit)


def run(args, pair, tool, threads, work):
    work.mkdir(parents=True)
    if tool in OWN:
        return run_collimate(args, pair, tool, threads, work)
    return run_peer(args, pair, tool, threads, work)


def interpreter(args, tool):
    return args.python_bigstream if tool.startswith("bigstream") else args.python


def versions(args, wanted):
    """what each tool is: a peer's package, this program's release and the beginning of its file's hash"""
    found = dict.fromkeys(GIVEN, "")
    for tool in wanted:
        if tool in OWN:
            release = subprocess.run([args.collimate, "--version"], capture_output=True, text=True, check=True).stdout.split()
            found[tool] = f"{' '.join(release[:2])} {hashlib.sha256(Path(args.collimate).read_bytes()).hexdigest()[:8]}"
        else:
            package = tools.PACKAGES[tool]
            ask = f"from importlib.metadata import version as v; print(v('{package}'))"
            told = subprocess.run([interpreter(args, tool), "-c", ask], capture_output=True, text=True)
            found[tool] = f"{package} {told.stdout.strip() or 'not installed'}"
    return found


def key(pair, tool, threads, version):
    settings = own_options(pair, tool) if tool in OWN else "" if tool in GIVEN else tools.settings(tool)
    parts = [SAME_CODE, pair.name, pair.kind, pair.rigid, np.round(pair.reference, 9).tolist(), tool, threads, version, settings]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def reason(use, work, limit):
    if use["code"] == -signal.SIGXCPU:
        return f"not done within {limit} CPU seconds"
    if "cpu_s" not in use:
        return f"ended after {limit * 20} s by the clock"
    lines = [s.strip() for s in (work / "log").read_text(errors="replace").splitlines() if s.strip()]
    told = [s for s in lines if s.startswith("collimate") or "rror" in s or "xception" in s]
    return (told or lines or [f"no output, exit code {use['code']}"])[-1][:160]


def loop_error(pair, u, back):
    """mean distance, over the fixed foreground, of x from where there and back ends"""
    f, m = pair.fixed, pair.moving
    x = grid(f)
    y = x + u
    z = y + np.stack([score.sample(back[c], m.origin, m.spacing, y) for c in range(3)])
    where = score.inside(m, y) & (f.data > f.data.mean())
    return float(np.sqrt(((z - x) ** 2).sum(0))[where].mean())


def measure(args, pair, tool, threads):
    """one row's figures"""
    if pair.fixed is None:
        pair.load()
    if tool in GIVEN:
        return score.figures(pair, affine_field(np.eye(4) if tool == "identity" else pair.reference, pair.fixed))
    work = Path(args.out) / "runs" / f"{pair.name}_{tool}_{threads}"
    shutil.rmtree(work, ignore_errors=True)
    r = run(args, pair, tool, threads, work)
    field = work / "field.npy"
    if not field.exists():
        return r | {"failed": reason(r, work, args.limit)}
    u = np.load(field)
    r |= score.figures(pair, u)
    if args.fields:
        shutil.copy(field, Path(args.fields) / f"{work.name}.npy")
    field.unlink()
    if pair.loop:
        run(args, pair.exchanged(), tool, threads, work / "back")
        if (work / "back/field.npy").exists():
            r["loop_mean"] = loop_error(pair, u, np.load(work / "back/field.npy"))
    return r


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended; the same command goes on"))
    data = Path(args.data)
    if not data.is_dir():
        sys.exit(f"no data at {data}: set CLM_DATA")
    wanted = [t for t in args.tools.split(",") if t] or [*OWN, *tools.TOOLS]
    unknown = [t for t in wanted if t not in (*OWN, *tools.TOOLS)]
    if unknown:
        sys.exit(f"bench-peers: no tool {unknown[0]}; there are {', '.join([*OWN, *tools.TOOLS])}")
    if args.quick:
        wanted = [t for t in wanted if t not in SLOW]
    if args.fields:
        Path(args.fields).mkdir(parents=True, exist_ok=True)
    rows, version = Rows(args.rows), versions(args, wanted)
    for pair in pairs.choose(data, [p for p in args.pairs.split(",") if p], args.quick):
        threads = [int(t) for t in args.threads.split(",") if t] or ([1, 2] if pair.name == "expansion" and not args.quick else [1])
        given = GIVEN if not np.array_equal(pair.reference, np.eye(4)) else GIVEN[:1]
        for tool in [*given, *(t for t in wanted if t != "collimate-defaults" or "--preset" in pair.options)]:
            for n in [0] if tool in GIVEN else threads:
                name, old = key(pair, tool, n, version[tool]), rows.get(pair.name, tool, n)
                if old and old["key"] == name and not args.again:
                    continue
                r = {"pair": pair.name, "tool": tool, "threads": n, "version": version[tool], "key": name}
                r |= measure(args, pair, tool, n)
                rows.put({k: v for k, v in r.items() if k != "code"})
                print(report.line(r), flush=True)
        pair.fixed = pair.moving = None
    report.write(args, list(rows.read().values()))


if __name__ == "__main__":
    main()
