"""The model card of a run: what it was trained on, what it reaches, and what it is not for."""

import json

import pandas as pd

from asdstudy.runs.evaluation import NUMBERS

LIMITS = """\
- It knows the machines, products, microphones and rooms of its training clips, and no others. After
  a change of any of these its scores and thresholds mean nothing until they are measured again.
- A score says how unusual a sound is, not what is wrong, nor how urgent it is.
- Scores of different product IDs, and of different runs, cannot be compared.
- The thresholds come from normal clips, most of which the network was trained on, so expect more
  false alarms than they promise. They are in `thresholds.json`, with the scores behind them.
- It must not be the only thing that protects people or machines."""


def card(record: dict, table: pd.DataFrame) -> str:
    """Markdown of a run with the ``record`` of its stages and the ``table`` of ``metrics.csv``."""
    train, embed, score = (record[stage] for stage in ("train", "embed", "score"))
    choice, versions = score["choice"], train["versions"]
    h, overrides = choice["inlier"], json.dumps(record["overrides"])
    p = f", p = {size}" if (size := choice["sizes"][h]) else ""
    facts = {
        "corpus": f"{record['corpus']}, fingerprint {embed['fingerprint']}",
        "product IDs": ", ".join(train["products"]),
        "variant and seed": f"{record['variant']}, {record['seed']}",
        "profile": f"{record['profile_name']}, with the changes {overrides}",
        "networks": f"{train['models']}, with {train['parameters']} parameters",
        "h": f"{h}{p}, chosen by: {choice['chosen_by']}",
        "h is fitted on": score["fitted_on"],
        "trained": f"{train['finished']}, on {train['device']}, commit {train['commit']}",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "warnings": "; ".join(train["warnings"] + score["warnings"]) or "none",
    }
    lines = [f"# {record['machine_type']}: a detector of anomalous sound", ""]
    lines += ["## What it was made from", ""]
    lines += [f"- {name}: {fact}" for name, fact in facts.items()]
    lines += ["", "## Results on the test clips, by product ID", "", _results(table), ""]
    return "\n".join([*lines, "## Limits", "", LIMITS, ""])


def _results(table: pd.DataFrame) -> str:
    """A Markdown table of the chosen h; a sentence where no clip has a label."""
    chosen = table[table.chosen.astype(bool)]
    if chosen.empty:
        return "No test clip has a label, so nothing is known of its results."
    columns = ["product", "role", "normal", "anomalous"]
    numbers = [name for name in NUMBERS if name in table]
    rows = [[*columns, *numbers], ["---"] * (len(columns) + len(numbers))]
    for row in chosen.to_dict("records"):
        rows.append([str(row[name]) for name in columns] + [f"{row[name]:.4g}" for name in numbers])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
