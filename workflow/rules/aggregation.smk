# 08 stacks the maps, 09 trains f_agg; its combinations of maps side by side
from lesionlib.maps import COMBINATIONS
from study.steps.aggregation_network import CODE as FAGG_CODE


rule maps:
    input:
        source("08"),
        done("04", "07"),
    output:
        done("08"),
    log:
        executed("08"),
    params:
        depends("maps", "windows", "sampling", "patches", "models", notebook="08"),
    priority: 90
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        "python -m study notebook 08 --experiment {EXPERIMENT}"


rule fagg_combination:
    input:
        done("08"),
        searched("fagg"),
    output:
        f"{RUNS}/done/fagg.{{combination}}.json",
    params:
        depends(*FAGG_CODE),
    priority: 80
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        "python -m study stage fagg --experiment {EXPERIMENT}"
        " --combination {wildcards.combination}"


# table 3 once more on the other grid of cells; short trainings, so one job for all of them
rule fagg_other_cells:
    input:
        done("08"),
        searched("fagg"),
    output:
        done("predictions_other_cells"),
    params:
        depends(*FAGG_CODE, "windows"),
    priority: 70
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        "python -m study stage predictions_other_cells --experiment {EXPERIMENT}"


rule fagg:
    input:
        source("09"),
        done("08", "fagg.E+S"),
    output:
        done("09"),
    log:
        executed("09"),
    params:
        depends(*FAGG_CODE, notebook="09"),
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        "python -m study notebook 09 --experiment {EXPERIMENT}"
