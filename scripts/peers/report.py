"""Tables of what bench.py measured: a line a run, Markdown a pair, and a summary a family with truth."""
import json
import math
from pathlib import Path

BEGIN, END = "<!-- bench-peers: begin -->", "<!-- bench-peers: end -->"

# NiftyReg is not in PyPI: what was measured of it on a machine like this one, same metrics, quoted
QUOTED = {
    "expansion": [
        "| NiftyReg f3d LNCC 5 (quoted, not run here) | 1 / 2 | 251 / 135 | 251 / - | 1520 | .882 / .881 | .850 | - | .654 (0) | |",
        "| NiftyReg f3d NMI (quoted, not run here) | 2 | 42 | - | 1161 | .881 / .880 | .828 | - | .715 (0) | |",
    ]
}
TRUTH = [  # figure, title, digits
    ("tre_mean", "TRE mean", 3), ("tre_median", "TRE median", 3), ("dice", "Dice", 3),
    ("error_median", "error median", 3), ("error_p99", "error 99 %", 3),
]


def number(x, digits=3):
    if x is None or (isinstance(x, float) and math.isnan(x)):
        return "-"
    return f"{x:.{digits}f}"


def truth_of(r):
    return ", ".join(f"{title} {number(r[k], digits)}" for k, title, digits in TRUTH if k in r)


def line(r):
    if "failed" in r:
        return f"{r['pair']:22} {r['tool']:18} {r['threads']} FAILED: {r['failed']}"
    time = f"{r['wall_s']:7.1f} s {r['cpu_s']:7.1f} cpu {r['peak_mb']:6.0f} MB" if "wall_s" in r else " " * 29
    return (f"{r['pair']:22} {r['tool']:18} {r['threads']} {time} ncc {number(r['ncc'])} local {number(r['local_ncc'])} "
            f"mi {number(r['mi'])} minJ {number(r['min_jacobian'])} {truth_of(r)}")


def row(r):
    name = r["tool"] + (f" ({r['note']})" if "note" in r else "")
    if "failed" in r:
        told = r["failed"].replace("|", "/")
        return f"| {name} | {r['threads']} | {number(r['wall_s'], 1)} | {number(r['cpu_s'], 1)} | {number(r['peak_mb'], 0)} | failed: {told} | | | | |"
    use = (f"{number(r['wall_s'], 1)} | {number(r['cpu_s'], 1)} | {number(r['peak_mb'], 0)}" if "wall_s" in r else "- | - | -")
    folds = f"{r['folded']:.1e}" if r["folded"] else "0"
    return (f"| {name} | {r['threads'] or '-'} | {use} | {number(r['ncc'])} / {number(r['ncc_common'])} | "
            f"{number(r['local_ncc'])} | {number(r['mi'])} | {number(r['min_jacobian'])} ({folds}) | {truth_of(r)} |")


HEAD = ("| tool | threads | wall s | CPU s | peak MB | NCC own / common | local NCC | MI | min J (folded) | truth |\n"
        "|---|---|---|---|---|---|---|---|---|---|")


def family(name):
    return name.split("-")[0]


def summary(found):
    """mean of the truth figure over the pairs of a family, by tool; failures counted"""
    out = []
    names = sorted({family(r["pair"]) for r in found})
    for name in names:
        mine = [r for r in found if family(r["pair"]) == name]
        keys = [k for k in TRUTH if any(k[0] in r for r in mine)]
        if not keys:
            continue
        pairs = len({r["pair"] for r in mine})
        out += [f"### {name}: {pairs} pair{'s' if pairs > 1 else ''}, means", "",
                "| tool | threads | failed | " + " | ".join(t for _, t, _ in keys) + " | local NCC | least min J | folded pairs | CPU s |",
                "|---|---|---|" + "---|" * (len(keys) + 4)]
        for tool, threads in dict.fromkeys((r["tool"], r["threads"]) for r in mine):
            runs = [r for r in mine if r["tool"] == tool and r["threads"] == threads]
            good = [r for r in runs if "failed" not in r]

            def mean(k, digits=3):
                v = [r[k] for r in good if k in r and not math.isnan(r[k])]
                return number(sum(v) / len(v), digits) if v else "-"

            least = number(min((r["min_jacobian"] for r in good), default=None))
            folded = sum(r["folded"] > 0 for r in good)
            out.append(f"| {tool} | {threads or '-'} | {len(runs) - len(good)} of {len(runs)} | "
                       + " | ".join(mean(k, d) for k, _, d in keys)
                       + f" | {mean('local_ncc')} | {least} | {folded} | {mean('cpu_s', 1)} |")
        out.append("")
    return out


def tables(found):
    out = summary(found)
    for name in dict.fromkeys(r["pair"] for r in found):
        rows = [r for r in found if r["pair"] == name]
        if family(name) != name:
            continue  # pairs of a family with truth are in its summary; all in results.json
        out += [f"### {name}", "", HEAD, *[row(r) for r in rows], *QUOTED.get(name, []), ""]
    failed = [r for r in found if "failed" in r]
    out += ["### What failed", ""]
    out += [f"* {r['pair']}, {r['tool']}, {r['threads']} threads: {r['failed']}" for r in failed] or ["Nothing."]
    return "\n".join(out) + "\n"


def write(args, found):
    text = tables(found)
    out = Path(args.out)
    (out / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (out / "results.md").write_text(text)
    print(f"tables: {out / 'results.md'}")
    if args.page:
        page = Path(args.page)
        old = page.read_text()
        if BEGIN not in old or END not in old:
            raise SystemExit(f"{page}: has no lines {BEGIN} and {END}")
        head, tail = old.split(BEGIN)[0], old.split(END)[1]
        page.write_text(f"{head}{BEGIN}\n\n{text}\n{END}{tail}")
