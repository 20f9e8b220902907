# 00 tells what is there, 01 reads the data set, 02 stores its canvases, 03 draws windows

from study.steps.data import MANIFEST_CODE, STORE_CODE


rule start_here:
    input:
        source("00"),
    output:
        done("00"),
    log:
        executed("00"),
    params:
        depends("paper", "claims", notebook="00"),
    threads: THREADS
    shell:
        "python -m study notebook 00 --experiment {EXPERIMENT}"


rule data:
    input:
        source("01"),
    output:
        done("01"),
    log:
        executed("01"),
    params:
        depends(*MANIFEST_CODE, notebook="01"),
        data_state(EXPERIMENT),
    priority: 90
    threads: THREADS
    shell:
        "python -m study notebook 01 --experiment {EXPERIMENT}"


rule store:
    input:
        source("02"),
        done("01"),
    output:
        done("02"),
    log:
        executed("02"),
    params:
        depends(*STORE_CODE, notebook="02"),
    priority: 90
    threads: THREADS
    shell:
        "python -m study notebook 02 --experiment {EXPERIMENT}"


rule windows:
    input:
        source("03"),
        done("02"),
    output:
        done("03"),
    log:
        executed("03"),
    params:
        depends("windows", "sampling", "patches", notebook="03"),
    threads: THREADS
    shell:
        "python -m study notebook 03 --experiment {EXPERIMENT}"
