# 04 trains f_loc, 05 compares backbones and learning rates; every run, arm and trial is a job

from study.steps import patch_network

# a single run is trained by its notebook
FLOC_RUNS = range(SETTINGS.floc.runs if SETTINGS.floc.runs > 1 else 0)
FLOC_CODE = ("models", *patch_network.CODE)
ARMS = [arm.name for arm in SETTINGS.architectures.arms]


rule floc_run:
    input:
        done("02"),
        searched("floc"),
    output:
        f"{RUNS}/done/floc.{{run}}.json",
    params:
        depends(*FLOC_CODE),
    priority: 60
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        "python -m study stage floc --experiment {EXPERIMENT} --run {wildcards.run}"


rule floc:
    input:
        source("04"),
        done("02", *(f"floc.{run}" for run in FLOC_RUNS)),
        searched("floc"),
    output:
        done("04"),
    log:
        executed("04"),
    params:
        depends(*FLOC_CODE, notebook="04"),
    priority: 60
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        "python -m study notebook 04 --experiment {EXPERIMENT}"


rule architecture:
    input:
        done("02"),
        searched("floc"),
    output:
        f"{RUNS}/done/architectures.{{arm}}.json",
    params:
        depends(*FLOC_CODE, "metrics"),
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        "python -m study stage architectures --experiment {EXPERIMENT} --arm {wildcards.arm}"


# f_agg's search reads the maps of 08; on the way to the scores it lies only where a rate is "search"
rule search:
    input:
        lambda wildcards: done("02" if wildcards.network == "floc" else "08"),
    output:
        f"{RUNS}/done/search.{{network}}.{{trial}}.json",
    params:
        depends(*FLOC_CODE, "search", "maps"),
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        "python -m study stage search --experiment {EXPERIMENT}"
        " --network {wildcards.network} --trial {wildcards.trial}"


rule architectures:
    input:
        source("05"),
        done("04", *(f"architectures.{arm}" for arm in ARMS)),
        trials("floc"),
        trials("fagg"),
    output:
        done("05"),
    log:
        executed("05"),
    params:
        depends(*FLOC_CODE, "metrics", "search", notebook="05"),
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        "python -m study notebook 05 --experiment {EXPERIMENT}"
