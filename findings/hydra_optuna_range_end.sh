#!/usr/bin/env bash
# hydra-optuna-sweeper 1.3.0: range(0,3) tries 3, which the same argument of Hydra's own sweeper leaves out.
#
# Hydra's range is Python's: the end is not part of it, and a sweep over n=range(0,3) runs 0, 1 and 2. With
# hydra/sweeper=optuna the same argument may also run 3, because the numbers go unchanged into Optuna's
# distributions, which include their upper end. So a study tries a value that the grid over the same
# range never had, be it a share of 1.0, one alphabet too many or one layer more than memory allows. A shuffled
# range becomes a choice and ends before 3 again, and range(0,3,step=3) has one value in Hydra and two in Optuna.
# The plugin's documentation gives ranges without a word on their ends.
#
# Output seen (2026-11-29, Python 3.11, hydra-core 1.3.8, optuna 2.10.1):
#   basic range(0,3): 0 1 2
#   optuna range(0,3): 0 1 2 3
#   basic shuffle(range(0,3)): 0 1 2
#   optuna shuffle(range(0,3)): 0 1 2
#   basic range(0,3,step=3): 0
#   optuna range(0,3,step=3): 0 3
#   basic range(0.0,1.0,step=0.25): 0.0 0.25 0.5 0.75
#   optuna range(0.0,1.0,step=0.25): 0.0 0.25 0.5 0.75 1.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "hydra-core==1.3.8" "hydra-optuna-sweeper==1.3.0" "optuna==2.10.1"
cd "$folder"
cat > application.py <<'PYTHON'
import hydra
from hydra.core.config_store import ConfigStore

ConfigStore.instance().store("config", {"n": 0})


@hydra.main(version_base=None, config_path=None, config_name="config")
def application(config):
    with open("tried", "a") as file:
        print(config.n, file=file)
    return float(config.n)


application()
PYTHON
for values in "range(0,3)" "shuffle(range(0,3))" "range(0,3,step=3)" "range(0.0,1.0,step=0.25)"; do
    for sweeper in basic optuna; do
        rm -f tried
        options=()
        if [ "$sweeper" = optuna ]; then
            options=(hydra/sweeper/sampler=random hydra.sweeper.sampler.seed=0 hydra.sweeper.n_trials=60)
        fi
        "$folder/venv/bin/python" application.py --multirun "n=$values" "hydra/sweeper=$sweeper" "${options[@]}" \
            >log 2>&1 || { cat log; exit 1; }
        echo "$sweeper $values: $(sort -gu tried | paste -sd' ')"
    done
done | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
basic range(0,3): 0 1 2
optuna range(0,3): 0 1 2 3
basic shuffle(range(0,3)): 0 1 2
optuna shuffle(range(0,3)): 0 1 2
basic range(0,3,step=3): 0
optuna range(0,3,step=3): 0 3
basic range(0.0,1.0,step=0.25): 0.0 0.25 0.5 0.75
optuna range(0.0,1.0,step=0.25): 0.0 0.25 0.5 0.75 1.0
SEEN
