"""What is trained to be compared: the arms of figure 6 and the trials of the random search."""

from __future__ import annotations

import pandas as pd

from lesionlib.seeds import derive_seed
from study.lab import Lab
from study.steps.aggregation_network import trained_fagg
from study.steps.networks import learning_rate
from study.steps.patch_network import trained_floc


def architectures(lab: Lab, arm: str | None = None) -> pd.DataFrame:
    """Every arm of figure 6, trained with one budget; a row a run with its validation and test AUC.

    All arms have f_loc's learning rate; where that is searched, it is the best trial's.
    arm : name of the only arm to run, for work done side by side.
    """
    from lesionlib.metrics.roc import auc
    from lesionlib.training import read_result

    s, rows = lab.settings, []
    shared = {"epochs": s.architectures.epochs, "weights_head": "drop"}
    shared |= {"learning_rate": learning_rate(lab, "floc")}
    for which in s.architectures.arms:
        for run in range(s.architectures.runs if arm in (None, which.name) else 0):
            settings = s.floc.model_copy(update=shared | which.model_dump())
            name = f"architectures/{which.name}/run{run}"
            seed = derive_seed(s.seed, "architectures", which.name, run)
            folder = trained_floc(lab, name, settings, seed, run)
            scored = pd.read_csv(folder / "predictions.csv", float_precision="round_trip")
            test = scored.query("split == 'test'")
            rows.append(
                {"backbone": which.backbone, "initialisation": which.initialisation, "run": run,
                 "validation_auc": read_result(folder).best_score,
                 "test_auc": auc(test["y_true"].to_numpy(), test["y_score"].to_numpy())}
            )  # fmt: skip
    return pd.DataFrame(rows)


def search(lab: Lab, network: str = "floc", trial: int | None = None) -> pd.DataFrame:
    """Random search over the learning rate of `floc` or `fagg`; see `lesionlib.learning_rates`.

    f_agg's trials read E+S; the rate that they find serves every combination of maps.
    trial : the only one to run, for work done side by side.
    """
    from lesionlib.learning_rates import run_search
    from lesionlib.training import read_result

    s = lab.settings
    low, high = getattr(s.search, network)

    def train(k: int, rate: float):
        changed = {"learning_rate": rate, "epochs": s.search.epochs}
        settings = getattr(s, network).model_copy(update=changed)
        name = f"search/{network}/trial{k}"
        if network == "floc":
            seed = derive_seed(s.seed, name)
            return read_result(trained_floc(lab, name, settings, seed, k, scored=False))
        return read_result(trained_fagg(lab, name, settings, "E+S", k))

    seed = derive_seed(s.seed, "search", network)
    trials = range(s.search.trials) if trial is None else [trial]
    return run_search(train, trials, low=low, high=high, seed=seed, progress=lab.progress)
