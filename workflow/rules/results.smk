# 10 scores the lesions, 11 and 12 judge the scores, 13 puts the results together


rule lesion_scores:
    input:
        source("10"),
        done("09", *(f"fagg.{combination}" for combination in COMBINATIONS)),
    output:
        done("10"),
    log:
        executed("10"),
    params:
        depends("scoring", "metrics", notebook="10"),
    priority: 70
    threads: THREADS
    shell:
        "python -m study notebook 10 --experiment {EXPERIMENT}"


rule operating_points:
    input:
        source("11"),
        done("10"),
    output:
        done("11"),
    log:
        executed("11"),
    params:
        depends("metrics", notebook="11"),
    threads: THREADS
    shell:
        "python -m study notebook 11 --experiment {EXPERIMENT}"


rule information:
    input:
        source("12"),
        done("10", *(["predictions_other_cells"] if SETTINGS.fagg.both_cells else [])),
    output:
        done("12"),
    log:
        executed("12"),
    params:
        depends("metrics", notebook="12"),
    threads: THREADS
    shell:
        "python -m study notebook 12 --experiment {EXPERIMENT}"


rule results:
    input:
        source("13"),
        done("03", "05", "11", "12"),
    output:
        done("13"),
    log:
        executed("13"),
    params:
        depends("metrics", "ideal_observers", "claims", "paper", notebook="13"),
    threads: THREADS
    shell:
        "python -m study notebook 13 --experiment {EXPERIMENT}"
