# 06 trains the context network, the longest job, so it is the first to get a core; 07 looks at its maps

from study.steps.context_network import CODE as GMIC_CODE


rule gmic:
    input:
        source("06"),
        done("02"),
    output:
        done("06"),
    log:
        executed("06"),
    params:
        depends(*GMIC_CODE, notebook="06"),
    priority: 100
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        "python -m study notebook 06 --experiment {EXPERIMENT}"


rule saliency:
    input:
        source("07"),
        done("06"),
    output:
        done("07"),
    log:
        executed("07"),
    params:
        depends("models/gmic", notebook="07"),
    priority: 90
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        "python -m study notebook 07 --experiment {EXPERIMENT}"
