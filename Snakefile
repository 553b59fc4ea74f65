"""The whole study: corpus, runs, figures, book. `make book` runs it; study.yaml says what is in it.

    snakemake --cores all --keep-going                            what `make book` runs
    snakemake --cores all --config study=tests/small-study.yaml   another study
    snakemake --profile profiles/slurm                            the same on a cluster

One rule a notebook. Sources are read from beside this file; what is made lands in the working
directory: data/, runs/ and _build/.
"""

import hashlib
import json
import os
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("8.20")

ROOT = Path(os.path.relpath(workflow.basedir))
sys.path.insert(0, workflow.basedir)

from asdlib.errors import InputError
from asdstudy.runs.study import read_study

try:
    changes = dict(config)
    STUDY = read_study(ROOT / changes.pop("study", "study.yaml"), changes)
    LISTING = STUDY.listing()
except InputError as error:
    raise WorkflowError(str(error)) from None

# The Python that runs Snakemake runs everything; results land in the working directory.
shell.prefix(
    f"set -euo pipefail; export PATH={Path(sys.executable).parent}:$PATH ASDLIB_ROOT={Path.cwd()} "
    f"PYTHONPATH={Path(workflow.basedir)} PYDEVD_DISABLE_FILE_VALIDATION=1; "
)
# Runs go side by side, so each computes on its own threads only.
THREADS = "OMP_NUM_THREADS={threads} OPENBLAS_NUM_THREADS={threads} MKL_NUM_THREADS={threads} "
NOTEBOOK = (
    THREADS + "python {input.runner} {input.notebook} {output.notebook} --log {log} "
    "--parameters {params.notebook:q}"
)
RUNNER = ROOT / "workflow/run_notebook.py"
RUN = "runs/{corpus}/{{machine_type}}/{{variant}}-s{{seed}}".format(corpus=STUDY.corpus)
FINGERPRINT = f"data/waves/{STUDY.corpus}/fingerprint.json"


def library(*places):
    """Files of the packages by place: a change in one of them makes again what was made with it."""
    folders = [ROOT / place for place in places]
    return [path for folder in folders for path in sorted(folder.rglob("*.py"))]


# What computes a run, from its corpus on; what draws the pages stands on it.
METHOD = library("asdlib", "asdstudy/data", "asdstudy/systems", "asdstudy/runs") + [
    ROOT / "asdstudy/paths.py"
]
PAGE = METHOD + library("asdstudy/report")


def runs(file="params.json", machine_types=None, variants=None):
    """A file of each run of the study."""
    return expand(
        f"{RUN}/{file}",
        machine_type=machine_types or STUDY.machine_types,
        variant=variants or STUDY.variants,
        seed=STUDY.seeds,
    )


def committed(name):
    """The committed table of a long study, where there is one."""
    here = f"book/measured/{name}.csv"
    return [here] * (ROOT / here).exists()


def measured(name):
    """The tables of a sweep, where there are any: a fresh one of this folder, a committed one."""
    fresh = f"runs/{name}/table.csv"
    return [fresh] * Path(fresh).exists() + committed(name)


def collected(corpus):
    """A hash of what `make seeds` left here, if anything: the pages draw from it.

    No input of theirs, or a build would make it anew, with no more seeds than its own.
    """
    made = Path(f"runs/{corpus}/collected.csv")
    return hashlib.sha256(made.read_bytes()).hexdigest() if made.exists() else ""


def parameters(**values):
    """The parameters of a notebook as one JSON word; empty ones keep the notebook's default.

    Sorted: the order of keys in study.yaml is no change.
    """
    given = {name: value for name, value in values.items() if value not in ("", None)}
    return json.dumps(given, sort_keys=True)


def of_study(**more):
    """The parameters that the pages over several runs share."""
    return parameters(
        **more,
        corpus=STUDY.corpus,
        machine_types=STUDY.machine_types,
        variants=STUDY.variants,
        seeds=STUDY.seeds,
    )


def page(name):
    """The executed notebook of a page."""
    return f"_build/pages/{name}.ipynb"


PAGES = [
    name
    for name in (
        "sounds",
        "hypersphere",
        "results",
        "ablation",
        "embedding",
        "similarity",
        "switches",
        "rivals",
        "uav",
    )
    if (ROOT / f"notebooks/{name}.ipynb").exists()
]


wildcard_constraints:
    machine_type=r"\w[\w.-]*",
    variant="[a-z-]+",
    seed=r"\d+",


localrules:
    source,
    book,
    long_study,


rule book:
    """The Jupyter Book, every warning an error, at _build/html/index.html."""
    input:
        toc="_build/source/_toc.yml",
        config=ROOT / "_config.yml",
        extension=ROOT / "workflow/book_site.py",
    output:
        "_build/html/index.html",
    log:
        "_build/logs/book.log",
    threads: workflow.cores or 1
    shell:
        # --all: a page that warned in a build before must not pass for being unchanged
        "jupyter-book build _build/source --path-output . --config {input.config} "
        "--all -W -n --keep-going > {log} 2>&1 "
        "|| {{ grep -E 'WARNING|ERROR|Error' {log} || tail -n 40 {log}; exit 1; }} >&2"


rule corpus:
    """The corpus, simulated where it is to be, and decoded once into memory-mapped waves."""
    input:
        decode=ROOT / "workflow/decode.py",
        library=[ROOT / "asdlib/corpora.py", ROOT / "asdlib/waves.py"],
        simulator=[ROOT / f"asdstudy/data/{name}.py" for name in ("simulate", "machines", "recordings")]
        if STUDY.corpus == "simulated"
        else [],
    output:
        FINGERPRINT,
    threads: workflow.cores or 1
    params:
        make=(
            f"asd simulate {shlex.quote(STUDY.folder)} {STUDY.simulator_options()} >&2"
            if STUDY.corpus == "simulated"
            else "true"
        ),
        listing=LISTING,
        corpus=STUDY.corpus,
        folder=STUDY.folder,
    shell:
        "{params.make} && python {input.decode:q} {params.corpus:q} {params.folder:q} > {output:q}"


rule train:
    """One run: one machine type, variant and seed, and its executed notebook in the run folder."""
    input:
        notebook=ROOT / "notebooks/train.ipynb",
        runner=RUNNER,
        library=PAGE,
        corpus=FINGERPRINT,
    output:
        notebook=f"{RUN}/train.ipynb",
        files=[
            f"{RUN}/{name}"
            for name in ("params.json", "metrics.csv", "scores.csv", "embeddings.npz")
        ],
    log:
        "_build/logs/train-{machine_type}-{variant}-s{seed}.ipynb",
    threads: 1
    resources:
        gpu=1 if STUDY.profile == "paper" else 0,  # runs of the paper profile take turns on it
    params:
        notebook=lambda run: parameters(
            corpus=STUDY.corpus,
            data_dir=STUDY.data_dir,
            machine_type=run.machine_type,
            variant=run.variant,
            profile=STUDY.profile,
            seed=int(run.seed),
            **STUDY.overrides.get(run.machine_type, {}),
        ),
    shell:
        # the quick profile is for CPUs: many runs side by side on one GPU would only crowd it
        ("CUDA_VISIBLE_DEVICES= " if STUDY.profile == "quick" else "") + NOTEBOOK


if ROOT != Path("."):

    rule measured_table:
        """A committed table, where the study does not run in the folder of this file."""
        input:
            ROOT / "book/measured/{name}.csv",
        output:
            "book/measured/{name}.csv",
        localrule: True
        shell:
            "cp {input} {output}"


rule sounds:
    """The page on the data and how it sounds."""
    input:
        notebook=ROOT / "notebooks/sounds.ipynb",
        runner=RUNNER,
        library=PAGE,
        corpus=FINGERPRINT,
    output:
        notebook=page("sounds"),
    log:
        "_build/logs/sounds.ipynb",
    params:
        notebook=parameters(
            corpus=STUDY.corpus, data_dir=STUDY.data_dir, profile=STUDY.profile
        ),
    shell:
        NOTEBOOK


rule hypersphere:
    """The page on the method in the plane, which needs no corpus."""
    input:
        notebook=ROOT / "notebooks/hypersphere.ipynb",
        runner=RUNNER,
        library=PAGE,
    output:
        notebook=page("hypersphere"),
    log:
        "_build/logs/hypersphere.ipynb",
    params:
        notebook=parameters(),
    shell:
        NOTEBOOK


rule results:
    """Table II: the paper's figures beside ours."""
    input:
        notebook=ROOT / "notebooks/results.ipynb",
        runner=RUNNER,
        library=PAGE,
        runs=runs("metrics.csv"),
        measured=committed("seeds"),
    output:
        notebook=page("results"),
    log:
        "_build/logs/results.ipynb",
    params:
        notebook=of_study(data_dir=STUDY.data_dir),
        collected=collected(STUDY.corpus),
    shell:
        NOTEBOOK


rule ablation:
    """Table III: what Mixup, h and the machine type loss are worth."""
    input:
        notebook=ROOT / "notebooks/ablation.ipynb",
        runner=RUNNER,
        library=PAGE,
        runs=runs("metrics.csv"),
        measured=committed("seeds"),
    output:
        notebook=page("ablation"),
    log:
        "_build/logs/ablation.ipynb",
    params:
        notebook=of_study(),
        collected=collected(STUDY.corpus),
    shell:
        NOTEBOOK


MAPPED = {  # what Fig. 3 shows, as far as the study has it
    "machine_types": [name for name in ("pump", "slider") if name in STUDY.machine_types]
    or STUDY.machine_types[:2],
    "variants": [name for name in ("proposed", "product-only") if name in STUDY.variants],
}


rule embedding:
    """Maps of the embedding in the manner of Fig. 3."""
    input:
        notebook=ROOT / "notebooks/embedding.ipynb",
        runner=RUNNER,
        library=PAGE,
        runs=runs("embeddings.npz", **MAPPED),
    output:
        notebook=page("embedding"),
    log:
        "_build/logs/embedding.ipynb",
    params:
        notebook=parameters(
            corpus=STUDY.corpus,
            machine_types=MAPPED["machine_types"],
            variants=MAPPED["variants"],
            seed=STUDY.seeds[0],
        ),
    shell:
        NOTEBOOK


rule similarity:
    """What the two dials of the simulator do to the method: from the committed table."""
    input:
        notebook=ROOT / "notebooks/similarity.ipynb",
        runner=RUNNER,
        library=PAGE,
        measured=measured("similarity"),
    output:
        notebook=page("similarity"),
    log:
        "_build/logs/similarity.ipynb",
    params:
        notebook=parameters(),
    shell:
        NOTEBOOK


rule switches:
    """The measured effect of each choice that the paper leaves open: from the committed table."""
    input:
        notebook=ROOT / "notebooks/switches.ipynb",
        runner=RUNNER,
        library=PAGE,
        measured=measured("switches"),
    output:
        notebook=page("switches"),
    log:
        "_build/logs/switches.ipynb",
    params:
        notebook=parameters(),
    shell:
        NOTEBOOK


rule rivals:
    """The other systems of Table II: from the committed tables."""
    input:
        notebook=ROOT / "notebooks/rivals.ipynb",
        runner=RUNNER,
        library=PAGE,
        measured=measured("rivals") + committed("seeds"),
    output:
        notebook=page("rivals"),
    log:
        "_build/logs/rivals.ipynb",
    params:
        notebook=parameters(),
        collected=collected("simulated"),
    shell:
        NOTEBOOK


rule uav:
    """Real recordings: from the committed table, and from runs where the data is there."""
    input:
        notebook=ROOT / "notebooks/uav.ipynb",
        runner=RUNNER,
        library=PAGE,
        measured=measured("uav") + measured("uav-trivial"),
    output:
        notebook=page("uav"),
    log:
        "_build/logs/uav.ipynb",
    params:
        notebook=parameters(),
    shell:
        NOTEBOOK


rule source:
    """The book's source: the chapters, and the executed notebooks as their pages."""
    input:
        script=ROOT / "workflow/assemble.py",
        toc=ROOT / "_toc.yml",
        chapters=[
            path
            for path in sorted((ROOT / "book").rglob("*"))
            if path.is_file() and "_build" not in path.parts
        ],
        pages=[page(name) for name in PAGES],
        machines=runs("train.ipynb", variants=STUDY.variants[:1]),
        # the other variants have no page of their own, but are part of the study
        runs=runs("train.ipynb"),
    output:
        "_build/source/_toc.yml",
    shell:
        f"python {{input.script}} --book {ROOT / 'book'} --toc {{input.toc}} "
        "--pages {input.pages} --machines {input.machines} --out _build/source"


rule long_study:
    """A tidy table of all runs of the study, to be committed under book/measured: `make seeds`."""
    input:
        library=PAGE,
        runs=runs("metrics.csv"),
    output:
        f"runs/{STUDY.corpus}/collected.csv",
    params:
        machine_types=" ".join(STUDY.machine_types),
        variants=" ".join(STUDY.variants),
        seeds=" ".join(map(str, STUDY.seeds)),
    shell:
        f"python -m asdstudy.report.studies {STUDY.corpus} {{output}} --variants {{params.variants}} "
        "--machine-types {params.machine_types} --seeds {params.seeds}"


onstart:
    for failed in Path("_build/logs").glob("*.failed"):
        failed.unlink()


onerror:
    for failed in sorted(Path("_build/logs").glob("*.failed")):
        print(failed.read_text(), file=sys.stderr)
