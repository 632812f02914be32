"""ome_documents.py COLLIMATE FOLDER: the valid and invalid OME-Zarr 0.4 and 0.5 documents in the sources of yaozarrs and
ome-zarr-models, unpacked below FOLDER, through `collimate validate --json`. Prints every verdict that differs and a
count; exit code 1 if any does. Their documents are Python values in which None means absent."""

import importlib.util
import json
import pathlib
import re
import subprocess
import sys

program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
count = {True: 0, False: 0}
different = 0

# the JSON schema of 0.5 wants "version" in labels groups, too; the model does not
SCHEMA_DECIDES = "V05_VALID_LABELS_GROUPS"


def verdict(document):
    out = subprocess.run([program, "validate", "--json", document], capture_output=True, text=True, timeout=60)
    if out.returncode:
        sys.exit(f"validate: exit code {out.returncode} for {document[:200]}: {out.stderr}")
    return json.loads(out.stdout)


def check(name, document, valid):
    global different
    got = verdict(json.dumps(document))
    count[valid] += 1
    if got["valid"] != valid:
        different += 1
        print(f"{name}: should be {'valid' if valid else 'invalid'}: {got['message']}\n    {json.dumps(document)[:1500]}")


def present(v):
    if isinstance(v, dict):
        return {k: present(x) for k, x in v.items() if x is not None}
    return [present(x) for x in v] if isinstance(v, list) else v


def lists_of(path):
    """Module-level lists V04_VALID_..., V05_INVALID_... of documents, or of (document, message)."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, value in vars(module).items():
        if re.match(r"V0\d_(VALID|INVALID)_", name) and isinstance(value, list):
            yield name, value


def document_of(name, d):
    d = present(d[0] if isinstance(d, tuple) else d)
    if name.startswith("V05") and "ome" not in d:
        d = {"ome": d}
    if name.startswith("V04"):  # without a version an image may be older
        for m in d.get("multiscales") or []:
            m.setdefault("version", "0.4")
    return d


def sources(pattern):
    found = sorted(folder.glob(pattern))
    return found or sys.exit(f"FAILED: no {folder / pattern}: nothing to compare with; remove {folder} to fetch it anew")


for path in sources("yaozarrs-*/tests/v0?/test_*.py"):
    for name, documents in lists_of(path):
        if name == SCHEMA_DECIDES:
            continue
        for i, d in enumerate(documents):
            check(f"{path.stem} {name}[{i}]", document_of(name, d), "INVALID" not in name)
for path in sources("ome_zarr_models-*/tests/data/examples/v0[45]/*.json"):
    d = json.loads(path.read_text())
    for part in ("omero", "plate"):  # these come without the key they stand under
        if path.parent.name == "v04" and path.name.startswith(part):
            d = {part: d}
    if "omero" not in path.name:  # no document of its own
        check(f"{path.parent.name}/{path.name}", d, "no_version" not in path.name)
print(f"documents: {count[True]} valid, {count[False]} invalid; {different} verdicts differ")
sys.exit(different > 0 or not (count[True] and count[False]))
