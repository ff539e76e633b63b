# SPDX-License-Identifier: GPL-2.0-only
"""What the last runs showed, kept beside the build: one file for each place that tests ran in (native, vm-6.1, ...),
for tests/table to make README's tables of.

    results = Results("vm-6.1")
    results.line(text)      each line of a suite's output: its sums, and its `row WAY | SITUATION | OUTCOME`
    results.save()          what ran replaces what was known of those suites; the others stay

File: BUILD/results/NAME.json, {"release": kernel, "mode": full|reduced, "suites": {name: {"passed", "failed",
"skipped", "rows": [[way, situation, outcome], ...]}}}.
"""
import json
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, os.environ.get("BUILD", "build"), "results")
SUMS = re.compile(r"(\S+): (\d+) passed, (\d+) failed, (\d+) skipped \(")


class Results:
    def __init__(self, name, release, mode):
        self.path = os.path.join(FOLDER, name + ".json")
        self.release, self.mode = release, mode
        self.suites, self.rows = {}, []

    def line(self, text):
        if text.startswith("row "):
            self.rows.append([part.strip() for part in text[4:].split("|")][:3])
            return
        sums = SUMS.match(text)
        if sums and sums.group(1) != "vm":
            known = self.suites.setdefault(sums.group(1), {"passed": 0, "failed": 0, "skipped": 0, "rows": []})
            for word, number in zip(("passed", "failed", "skipped"), sums.groups()[1:]):
                known[word] += int(number)  # a suite of two boots says its sums twice
            known["rows"] += self.rows
            self.rows = []

    def broken(self, suite):
        """It did not come to its end."""
        self.suites[suite] = {"passed": 0, "failed": 1, "skipped": 0, "rows": []}

    def save(self):
        if not self.suites:
            return
        os.makedirs(FOLDER, exist_ok=True)
        whole = load(self.path) or {"suites": {}}
        if whole.get("release") != self.release or whole.get("mode") != self.mode:
            whole["suites"] = {}
        whole.update(release=self.release, mode=self.mode)
        whole["suites"].update(self.suites)
        with open(self.path + ".new", "w") as f:
            json.dump(whole, f, indent=1, sort_keys=True)
        os.rename(self.path + ".new", self.path)


def load(path):
    try:
        with open(path) as f:
            return json.load(f)
    except (OSError, ValueError):
        return None


def load_all():
    """[(name, whole)], reduced mode first, then by kernel."""
    names = sorted(os.listdir(FOLDER)) if os.path.isdir(FOLDER) else []
    found = [(name[:-5], load(os.path.join(FOLDER, name))) for name in names if name.endswith(".json")]
    found = [pair for pair in found if pair[1]]
    return sorted(found, key=lambda p: (p[1]["mode"] != "reduced", [int(n) for n in re.findall(r"\d+", p[1]["release"])[:2]]))
