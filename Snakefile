"""The whole study: corpus, runs, figures, book. `make book` runs it; study.yaml says what is in it.

    snakemake --cores all --keep-going                            what `make book` runs
    snakemake --cores all --config study=tests/small-study.yaml   another study
    snakemake --profile profiles/slurm                            the same on a cluster

One rule for each stage, and one for the pages. Sources are read from beside this file; what is made lands in the working
directory: data/, runs/ and _build/. Snakemake deletes the outputs of a rule before it runs, so a stage has a mark as its
output, in _build/done/: runs/ is replaced only by what is whole.
"""

import fcntl
import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("8.20")

ROOT = Path(os.path.relpath(workflow.basedir))
if re.search("[{}]", str(ROOT)):  # Snakemake takes them for wildcards, so a link stands for it
    ROOT = Path(".snakemake/sources")
    if ROOT.resolve() != Path(workflow.basedir).resolve():
        ROOT.parent.mkdir(exist_ok=True)
        ROOT.unlink(missing_ok=True)
        ROOT.symlink_to(workflow.basedir)
sys.path.insert(0, workflow.basedir)

from asdlib.errors import InputError
from asdstudy import paths
from asdstudy.runs.provenance import code_files
from asdstudy.runs.record import STAGES, has_stage, place_of
from asdstudy.runs.study import read_study

try:
    changes = dict(config)
    STUDY = read_study(ROOT / changes.pop("study", "study.yaml"), changes)
    LISTING = STUDY.listing()
except InputError as error:
    raise WorkflowError(str(error)) from None


def quoted(name):
    """A name that is one word to the shell, whatever it holds, and has no wildcard."""
    return shlex.quote(str(name)).replace("{", "{{").replace("}", "}}")


def escaped(name):
    """A name as a file of _build/ may have it: with no wildcard, and nothing that Sphinx matches."""
    return re.sub(r"[^\w .-]", lambda letter: f"={ord(letter[0]):x}=", name)


# The Python that runs Snakemake runs everything; results land in the working directory.
shell.prefix(
    f"set -euo pipefail; export PATH={quoted(Path(sys.executable).parent)}:$PATH "
    f"ASDLIB_ROOT={quoted(Path.cwd())} PYTHONPATH={quoted(workflow.basedir)} "
    "PYDEVD_DISABLE_FILE_VALIDATION=1; "
)
# Runs go side by side, so each computes on its own threads only.
THREADS = "OMP_NUM_THREADS={threads} OPENBLAS_NUM_THREADS={threads} MKL_NUM_THREADS={threads} "
# The quick profile is for CPUs: many runs side by side on one GPU would only crowd it.
THREADS += "CUDA_VISIBLE_DEVICES= " if STUDY.profile == "quick" else ""
GPU = 1 if STUDY.profile == "paper" else 0  # runs of the paper profile take turns on it
DONE = f"_build/done/{escaped(STUDY.corpus)}"
CORPUS = f"{DONE}/corpus.json"
RUN = f"{DONE}/{{machine_type}}/{{variant}}-s{{seed}}-{{mark}}"
RUN_LOG = "_build/logs/{{machine_type}}-{{variant}}-s{{seed}}-{{mark}}-{}.log"
PLANS = {(escaped(p.machine_type), p.variant, str(p.seed)): p for p in STUDY.plans()}
# The mark is the record of the run as of that stage: Snakemake compares contents, too. Errors
# are printed at once, and again at the end.
STAGE = (
    THREADS + "asd {params.command} {params.words} > {output:q} 2> {log:q} && "
    'cp "$(tail -n 1 {output:q})"/params.json {output:q} || '
    "{{ tail -n 3 {log:q} | tee {log:q}.failed >&2; exit 1; }}"
)


def plan_of(run):
    """The plan that the wildcards of a rule name."""
    return PLANS[run.machine_type, run.variant, run.seed]


def code_of(stage):
    """The files of the modules that a stage computes with, and of all that they import."""

    def files(run):
        used = code_files(*plan_of(run).code(stage))
        return [ROOT / os.path.relpath(path, workflow.basedir) for path in used]

    return files


def words(run, data_dir=""):
    """What names the run to a stage's command."""
    more = ["--data-dir", data_dir] if data_dir else []
    return shlex.join([*plan_of(run).words, "--out-dir", "runs", *more])


def mark_of(plan, stage="evaluate"):
    """The file that says that a stage of a run is done."""
    return f"{DONE}/{escaped(plan.machine_type)}/{plan.folder.name}.{stage}"


def runs(**which):
    """The marks of all whole runs of the study, or of some machine types, variants and seeds."""
    return [mark_of(plan) for plan in STUDY.plans(**which)]


def tables_of(*studies):
    """The committed tables of some studies, such as those of workflow/evidence.py."""
    files = paths.tables_of(ROOT / "book/measured", *studies)
    return [f"book/measured/{path.name}" for path in files]


SAME_CORPUS = {"corpus": STUDY.corpus, "data_dir": STUDY.data_dir, "profile": STUDY.profile}
SAME_RUNS = {
    "corpus": STUDY.corpus,
    "machine_types": STUDY.machine_types,
    "variants": STUDY.variants,
    "seeds": STUDY.seeds,
    "profile": STUDY.profile,
    "overrides": STUDY.overrides,
}
MAPPED = {  # what Fig. 3 shows, as far as the study has it
    "machine_types": [name for name in ("pump", "slider") if name in STUDY.machine_types]
    or STUDY.machine_types[:2],
    "variants": [name for name in ("proposed", "product-only") if name in STUDY.variants],
}
SEED = STUDY.seeds[0]  # of the pages that show one run, or one per variant


class Page(NamedTuple):
    """What a page is drawn from, and the parameters of its notebook."""

    inputs: list
    parameters: dict
    notebook: str = ""  # its name, where it is not the page's


PAGES = {
    "sounds": Page([CORPUS], SAME_CORPUS),
    "hypersphere": Page([], {}),
    "trials": Page(tables_of("trials"), {}),
    "results": Page(runs(), SAME_RUNS | {"data_dir": STUDY.data_dir}),
    "ablation": Page(runs() + tables_of("ablation"), SAME_RUNS),
    "embedding": Page(
        runs(**MAPPED, seeds=[SEED]) + tables_of("geometry-ablation"),
        {"corpus": STUDY.corpus, "profile": STUDY.profile, "seed": SEED}
        | MAPPED
        | {"overrides": {n: v for n, v in STUDY.overrides.items() if n in MAPPED["machine_types"]}},
    ),
    "similarity": Page(tables_of("dials"), {}),
    "switches": Page(tables_of("switches"), {}),
    "rivals": Page(tables_of("ablation", "rivals", "baselines"), {}),
    "pretrained": Page(tables_of("pretrained", "ablation"), {}),
    "findings": Page(tables_of("ablation", "rivals"), {}),
    "recordings": Page(tables_of("ablation"), {}),
    "ways": Page(tables_of("scores"), {}),
    "sides": Page(tables_of("sides", "settings", "geometry-sides"), {}),
    "expect": Page(
        runs(machine_types=STUDY.machine_types[:1], variants=STUDY.variants[:1], seeds=[SEED])
        + tables_of("amount", "contamination", "shift"),
        {"corpus": STUDY.corpus, "profile": STUDY.profile, "overrides": STUDY.overrides}
        | {"machine_type": STUDY.machine_types[0], "variant": STUDY.variants[0], "seed": SEED},
    ),
}
PAGES = {name: page for name, page in PAGES.items() if (ROOT / f"notebooks/{name}.ipynb").exists()}
MACHINES = {  # a page for each machine type: its first run, which is there by then
    f"machines/{escaped(name)}": Page(
        runs(machine_types=[name], variants=STUDY.variants[:1], seeds=[SEED])
        + [CORPUS],
        SAME_CORPUS
        | {"machine_type": name, "variant": STUDY.variants[0], "seed": SEED}
        | STUDY.overrides.get(name, {}),
        notebook="train",
    )
    for name in STUDY.machine_types
}


ALL_PAGES = PAGES | MACHINES


def library(_=None):
    """All of both packages: a page may show anything."""
    places = [ROOT / "asdlib", ROOT / "asdstudy"]
    return [path for place in places for path in sorted(place.rglob("*.py"))]


def parameters(values):
    """The parameters of a notebook as one JSON word; empty ones keep the notebook's default.

    Sorted: the order of keys in study.yaml is no change.
    """
    return json.dumps({n: v for n, v in values.items() if v not in ("", None)}, sort_keys=True)


def page(name):
    """The executed notebook of a page."""
    return f"_build/pages/{name}.ipynb"


HOLD = Path(".snakemake/hold")  # what a running build has locked: a lock that ends with its process


def hold():
    """Lock this folder for a build, as long as the file that is returned is open."""
    file = HOLD.open("w")
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


if workflow.is_main_process:
    for plan in STUDY.plans():  # no mark counts from the first stage on that is gone, or broken
        is_whole = True
        for stage in STAGES:
            is_whole = is_whole and has_stage(place_of(plan), stage)
            if not is_whole:
                Path(mark_of(plan, stage)).unlink(missing_ok=True)
    if any(Path(".snakemake/locks").glob("*")):
        try:
            hold().close()
            shutil.rmtree(".snakemake/locks")  # left by a build that was killed, or by a power loss
        except BlockingIOError:
            print("A build is running in this folder.", file=sys.stderr)
        except OSError:  # the disk has no such locks; Snakemake will say how to unlock
            pass


wildcard_constraints:
    machine_type="[^/]+",
    variant="[a-z-]+",
    seed=r"\d+",
    mark="[0-9a-f]{8}",


localrules:
    source,
    book,
    runs,


rule book:
    """The Jupyter Book, every warning an error, at _build/html/index.html."""
    input:
        toc="_build/source/_toc.yml",
        config=ROOT / "_config.yml",
        extensions=[ROOT / "workflow/book_site.py", ROOT / "workflow/bibliography.py"],
    output:
        update("_build/html/index.html"),
    log:
        "_build/logs/book.log",
    threads: workflow.cores or 1
    shell:
        # --all: a page that warned in a build before must not pass for being unchanged
        "jupyter-book build _build/source --path-output . --config {input.config:q} "
        "--all -W -n --keep-going > {log} 2>&1 "
        "|| {{ grep -E 'WARNING|ERROR|Error' {log} || tail -n 40 {log}; exit 1; }} >&2"


rule runs:
    """The runs of the study alone, without the pages."""
    input:
        runs(),


rule corpus:
    """The corpus, simulated where it is to be, and decoded once into memory-mapped waves."""
    input:
        decode=ROOT / "workflow/decode.py",
        library=[ROOT / "asdstudy/data/corpora.py", ROOT / "asdstudy/data/banks.py"],
        simulator=[ROOT / f"asdstudy/data/{name}.py" for name in ("simulate", "machines", "recordings")]
        if STUDY.corpus == "simulated"
        else [],
    output:
        update(CORPUS),
    threads: workflow.cores or 1
    params:
        make=lambda _: (
            f"asd simulate {shlex.quote(STUDY.folder)} {STUDY.simulator_options()} >&2"
            if STUDY.corpus == "simulated"
            else "true"
        ),
        listing=LISTING,
        corpus=lambda _: STUDY.corpus,
        folder=lambda _: STUDY.folder,
    shell:
        "{params.make} && python {input.decode:q} {params.corpus:q} {params.folder:q} > {output:q}"


rule train:
    """TRAIN: the encoder of one machine type, variant and seed."""
    input:
        code_of("train"),
        CORPUS,
    output:
        f"{RUN}.train",
    log:
        RUN_LOG.format("train"),
    resources:
        gpu=GPU,
    params:
        command="run",  # all stages in one process: starting it takes seconds
        words=lambda run: words(run, STUDY.data_dir),
    shell:
        STAGE


rule embed:
    """EMBED: the clips by that encoder."""
    input:
        code_of("embed"),
        f"{RUN}.train",
    output:
        f"{RUN}.embed",
    log:
        RUN_LOG.format("embed"),
    resources:
        gpu=GPU,
    params:
        command="stage embed",
        words=lambda run: words(run, STUDY.data_dir),
    shell:
        STAGE


rule score:
    """SCORE: h on the embeddings."""
    input:
        code_of("score"),
        f"{RUN}.embed",
    output:
        f"{RUN}.score",
    log:
        RUN_LOG.format("score"),
    params:
        command="stage score",
        words=words,
    shell:
        STAGE


rule evaluate:
    """EVALUATE: AUC and pAUC of the scores; the run is finished then."""
    input:
        code_of("evaluate"),
        f"{RUN}.score",
    output:
        f"{RUN}.evaluate",
    log:
        RUN_LOG.format("evaluate"),
    params:
        command="stage evaluate",
        words=words,
    shell:
        STAGE


if ROOT != Path("."):

    rule measured_table:
        """A committed table, where the study does not run in the folder of this file."""
        input:
            ROOT / "book/measured/{name}.csv",
        output:
            "book/measured/{name}.csv",
        localrule: True
        shell:
            "cp {input:q} {output:q}"


rule page:
    """A page: its notebook executed from what PAGES and MACHINES say that it is drawn from."""
    input:
        lambda its: ALL_PAGES[its.page].inputs,
        notebook=lambda its: ROOT / f"notebooks/{ALL_PAGES[its.page].notebook or its.page}.ipynb",
        runner=ROOT / "workflow/run_notebook.py",
        library=library,
    output:
        update("_build/pages/{page}.ipynb"),
    log:
        "_build/logs/{page}.ipynb",
    wildcard_constraints:
        page="|".join(map(re.escape, ALL_PAGES)),
    params:
        notebook=lambda its: parameters(ALL_PAGES[its.page].parameters),
    shell:
        THREADS + "python {input.runner:q} {input.notebook:q} {output:q} --log {log:q} "
        "--parameters {params.notebook:q}"


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
        machines=[page(name) for name in MACHINES],
        runs=runs(),  # those that no page shows are part of the study, too
    output:
        "_build/source/_toc.yml",
    shell:
        f"python {{input.script:q}} --book {quoted(ROOT / 'book')} --toc {{input.toc:q}} "
        "--pages {input.pages:q} --machines {input.machines:q} --out _build/source"


onstart:
    try:
        workflow.hold = hold()
    except BlockingIOError:
        raise WorkflowError("A build is running in this folder; expected it to end first") from None
    except OSError:
        pass
    for failed in Path("_build/logs").rglob("*.failed"):
        failed.unlink()


onerror:
    for failed in sorted(Path("_build/logs").rglob("*.failed")):
        print(failed.read_text(), file=sys.stderr)
